/**
 * The gateway under systemd: a unit for the fence, which is there before the network, one for the daemon, and a drop-in
 * for the one service that takes the fence away with all other rules.
 */
import { existsSync } from 'node:fs'
import { rm, rmdir } from 'node:fs/promises'
import { dirname } from 'node:path'
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
const BESIDE: Unit = {
  name: 'nftables.service',
  path: `${DIRECTORY}/nftables.service.d/agent-anchor-fence.conf`,
}
const TEMPLATES = new Map([
  [FENCE, FENCE.name],
  [DAEMON, DAEMON.name],
  [BESIDE, 'nftables-beside.conf'],
])

/** sd_booted(3): systemd is PID 1 exactly where this directory is. */
export const systemdIsThere = ({ root }: ServiceHost): boolean => existsSync(`${root}/run/systemd/system`)

export function systemd(host: ServiceHost): ServiceManager {
  const { root, run, succeeds } = host
  const units = [...TEMPLATES.keys()]
  const there = ({ path }: Unit) => existsSync(`${root}${path}`)
  const reread = async () => void (await run('systemctl', 'daemon-reload'))
  const write = async (each: Unit, directories: Directories) => {
    const marks = { '@CREDENTIALS@\n': credentialLine(root, directories) }
    const text = await renderUnit(host, directories, `systemd/${TEMPLATES.get(each)}`, marks)
    return writeUnit(host, each.path, text, 0o644)
  }
  return {
    name: 'systemd',
    units,
    words: ['agent-anchor.service; the fence is loaded before the network at boot'],
    async install(directories) {
      let changed = false
      for (const each of units) changed = (await write(each, directories)) || changed
      await reread()
      await run('systemctl', 'enable', '--quiet', FENCE.name, DAEMON.name)
      return changed
    },
    async renew(directories) {
      if (!there(DAEMON)) return false
      if (await write(DAEMON, directories)) await reread()
      return true
    },
    async remove(each) {
      const isThere = systemdIsThere(host)
      if (each.path === BESIDE.path) {
        await rm(`${root}${each.path}`, { force: true })
        // Where nobody else has a drop-in there.
        await rmdir(dirname(`${root}${each.path}`)).catch(() => {})
        if (isThere) await succeeds('systemctl', 'daemon-reload')
        return
      }
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
