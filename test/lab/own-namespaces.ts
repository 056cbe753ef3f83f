/** Namespaces for a test that runs itself again in them: rules and captures of the machine are never touched. */
import { spawnSync } from 'node:child_process'
import { PATH } from './places.ts'

/** Runs the script in the role `inside`; gives how it ended. */
export function enterNamespaces(script: string): number {
  const passed = Object.entries(process.env).filter(
    ([name]) => name.startsWith('TAP') || name.startsWith('_TAPJS'),
  )
  const own = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
  // A runner that gives up on this process must not wait for what it left behind.
  const bound = ['--pdeathsig', 'KILL', '--', 'unshare', ...own]
  const { status, error } = spawnSync('setpriv', [...bound, process.execPath, script, 'inside'], {
    env: { ...Object.fromEntries(passed), PATH },
    stdio: 'inherit',
  })
  if (error) throw error
  return status ?? 1
}
