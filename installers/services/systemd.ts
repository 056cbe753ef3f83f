/** The gateway under systemd: a unit for the fence, which is there before the network, and one for the daemon. */
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { layout } from '../../daemon/supervisor/layout.ts'
import { CREDENTIAL } from '../../daemon/vault/systemd-creds.ts'
import { wrappingFile } from '../../daemon/vault/wrapping-key.ts'
import { InstallError } from '../install-error.ts'
import type { Directories, ServiceHost, ServiceManager, Unit } from './service-manager.ts'
import { renderUnit, writeUnit } from './unit-file.ts'

const DIRECTORY = '/etc/systemd/system'
const unit = (name: string): Unit => ({ name, path: `${DIRECTORY}/${name}` })
const FENCE = unit('agent-anchor-fence.service')
const DAEMON = unit('agent-anchor.service')

/** sd_booted(3): systemd is PID 1 exactly where this directory is. */
export const systemdIsThere = ({ root }: ServiceHost): boolean => existsSync(`${root}/run/systemd/system`)

export function systemd(host: ServiceHost): ServiceManager {
  const { root, run, succeeds } = host
  const units = [FENCE, DAEMON]
  const there = ({ path }: Unit) => existsSync(`${root}${path}`)
  const reread = async () => void (await run('systemctl', 'daemon-reload'))
  const write = async ({ name, path }: Unit, directories: Directories) => {
    const marks = { '@CREDENTIALS@\n': credentialLine(root, directories) }
    return writeUnit(host, path, await renderUnit(host, directories, `systemd/${name}`, marks), 0o644)
  }
  return {
    name: 'systemd',
    units,
    words: ['agent-anchor.service; the fence is loaded before the network at boot'],
    async install(directories) {
      let changed = false
      for (const each of units) changed = (await write(each, directories)) || changed
      await reread()
      await run('systemctl', 'enable', '--quiet', ...units.map(({ name }) => name))
      return changed
    },
    async renew(directories) {
      if (!there(DAEMON)) return false
      if (await write(DAEMON, directories)) await reread()
      return true
    },
    async remove(each) {
      const isThere = systemdIsThere(host)
      if (isThere) await succeeds('systemctl', 'disable', '--now', each.name)
      await rm(`${root}${each.path}`, { force: true })
      if (!isThere) return
      await succeeds('systemctl', 'daemon-reload')
      // A unit that failed is remembered after its file is gone.
      await succeeds('systemctl', 'reset-failed', each.name)
    },
    reread,
    async start(how) {
      if (!(await succeeds('systemctl', how, DAEMON.name))) throw await didNotStart(host)
      return () => false
    },
    stop: async () => void (await succeeds('systemctl', 'stop', DAEMON.name)),
    startFence: async () => void (await run('systemctl', 'start', FENCE.name)),
  }
}

/** systemd opens the vault's credential for the unit, which has no way to the TPM itself; an absent file would end it. */
function credentialLine(root: string, directories: Directories): string {
  const file = wrappingFile(layout(directories).keysDirectory, 'systemd-creds')
  return existsSync(`${root}${file}`) ? `LoadCredentialEncrypted=${CREDENTIAL}:${file}\n` : ''
}

/** With the daemon's own last words: not what systemd says about it. */
async function didNotStart({ run }: ServiceHost): Promise<InstallError> {
  const own = ['--quiet', '--boot', '--output=cat', '--lines=10', `_SYSTEMD_UNIT=${DAEMON.name}`]
  const words = (await run('journalctl', ...own).catch(() => '')).trim()
  return new InstallError(
    'DAEMON_DID_NOT_START',
    `${DAEMON.name} did not start${words === '' ? '' : `:\n${words}`}`,
    `Mend what it says and run the installer again; more of it: journalctl --unit ${DAEMON.name}`,
  )
}
