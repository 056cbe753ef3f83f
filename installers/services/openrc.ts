/** The gateway under OpenRC: an init script for the fence, in the runlevel before the network's, and one for the daemon. */
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { InstallError } from '../install-error.ts'
import type { ServiceHost, ServiceManager, Unit } from './service-manager.ts'
import { renderUnit, writeUnit } from './unit-file.ts'

const script = (name: string): Unit => ({ name, path: `/etc/init.d/${name}` })
const FENCE = script('agent-anchor-fence')
const DAEMON = script('agent-anchor')
const RUNLEVEL = new Map([
  [FENCE, 'boot'],
  [DAEMON, 'default'],
])

/** OpenRC keeps its state there once it has booted the machine. */
export const openrcIsThere = ({ root }: ServiceHost): boolean => existsSync(`${root}/run/openrc/softlevel`)

export function openrc(host: ServiceHost): ServiceManager {
  const { root, run, succeeds } = host
  const units = [FENCE, DAEMON]
  return {
    name: 'openrc',
    units,
    words: ['agent-anchor under OpenRC; the fence is loaded before the network at boot'],
    async install(directories) {
      let changed = false
      for (const { name, path } of units) {
        const text = await renderUnit(host, directories, `openrc/${name}`)
        changed = (await writeUnit(host, path, text, 0o755)) || changed
      }
      for (const [{ name }, runlevel] of RUNLEVEL) await run('rc-update', '--quiet', 'add', name, runlevel)
      return changed
    },
    renew: async () => existsSync(`${root}${DAEMON.path}`),
    async remove({ name, path }) {
      // Before the script is gone, which says how.
      if (existsSync(`${root}${path}`) && openrcIsThere(host)) await succeeds('rc-service', name, 'stop')
      await succeeds('rc-update', '--quiet', '--all', 'delete', name)
      await rm(`${root}${path}`, { force: true })
    },
    reread: async () => {},
    async start(how) {
      if (!(await succeeds('rc-service', DAEMON.name, how))) {
        throw new InstallError(
          'DAEMON_DID_NOT_START',
          `${DAEMON.name} did not start`,
          'See what it says: agent-anchor logs. Mend that and run the installer again.',
        )
      }
      return () => false
    },
    stop: async () => void (await succeeds('rc-service', '--ifstarted', DAEMON.name, 'stop')),
    startFence: async () => void (await run('rc-service', '--ifstopped', FENCE.name, 'start')),
  }
}
