/** Commands of the operating system that installing needs. */
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { childEnvironment } from '../daemon/supervisor/program.ts'
import { InstallError } from './install-error.ts'

/**
 * Runs a command without a shell and without root's environment, in a session of its own: Ctrl-C on the terminal
 * reaches the installer alone, which lets a command come to its end and then takes everything back.
 * @returns its standard output
 */
export async function run(command: string, ...args: string[]): Promise<string> {
  const child = spawn(command, args, {
    env: childEnvironment,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise<string | undefined>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve(code === 0 ? undefined : `ended with ${signal ?? code}`))
  })
  const output = Promise.all([text(child.stdout), text(child.stderr)])
  try {
    const [[stdout, stderr], wrong] = await Promise.all([output, ended])
    if (wrong === undefined) return stdout
    throw new Error(stderr.trim() || wrong)
  } catch (error) {
    throw new InstallError(
      'COMMAND_FAILED',
      `${[command, ...args].join(' ')}: ${(error as Error).message}`,
      'Mend what it says and run the command again; it goes on where it stopped.',
      error,
    )
  }
}

/** True where the command succeeds. */
export const succeeds = (command: string, ...args: string[]): Promise<boolean> =>
  run(command, ...args).then(
    () => true,
    () => false,
  )
