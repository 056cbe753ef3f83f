/** Commands of the operating system that installing needs. */
import { execFile } from 'node:child_process'
import { childEnvironment } from '../daemon/supervisor/program.ts'
import { InstallError } from './install-error.ts'

/** Runs a command without a shell and without root's environment. @returns its standard output. */
export function run(command: string, ...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { env: childEnvironment, maxBuffer: 16 << 20 }, (error, stdout, stderr) => {
      if (!error) return resolve(stdout)
      const detail = stderr.trim() || error.message
      reject(
        new InstallError(
          'COMMAND_FAILED',
          `${command} ${args.join(' ')}: ${detail}`,
          'Mend what it says and run the command again; it goes on where it stopped.',
          error,
        ),
      )
    })
  })
}

/** True where the command succeeds. */
export const succeeds = (command: string, ...args: string[]): Promise<boolean> =>
  run(command, ...args).then(
    () => true,
    () => false,
  )
