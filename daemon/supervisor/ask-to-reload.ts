/** Asks a running gateway to read again what commands have changed. */
import { readState } from './state-file.ts'

/** @returns false where none runs */
export async function askToReload(stateFile: string): Promise<boolean> {
  const running = await readState(stateFile)
  if (running === undefined) return false
  process.kill(running.pid, 'SIGHUP')
  return true
}
