/** A script of doctor's, run as an agent would be: without groups, capabilities and root's environment. */
import { execFile } from 'node:child_process'
import { childEnvironment, nodeFlags, programRoot } from '../../daemon/supervisor/program.ts'

const WITHIN_MS = 20_000
const MOST_BYTES = 1 << 20

export const ordinary = (uid: number): readonly string[] => [
  ...['setpriv', `--reuid=${uid}`, `--regid=${uid}`],
  ...['--clear-groups', '--no-new-privs', '--inh-caps=-all', '--'],
]

/** @returns what it printed */
export function asUser(uid: number, script: string, ...args: string[]): Promise<string> {
  const [command = '', ...argv] = ordinary(uid)
  const program = [process.execPath, ...nodeFlags, `${programRoot}/cli/doctor/${script}`, ...args]
  return new Promise((resolve, reject) => {
    execFile(
      command,
      [...argv, ...program],
      { env: childEnvironment, timeout: WITHIN_MS, maxBuffer: MOST_BYTES },
      (error, stdout, stderr) => {
        if (error) reject(new Error(`the try could not be made: ${stderr.trim() || error.message}`))
        else resolve(stdout)
      },
    )
  })
}
