/**
 * Keeps `supervisor.json` up to date: changes that come together are one write. Without any it is written now and then,
 * so that its age tells a supervisor that hangs.
 */
import type { Log } from './log.ts'
import { BEAT_MS, type SupervisorState, writeState } from './state-file.ts'

export interface StateReport {
  changed(): void
  /** Resolves when what was last told is in the file. */
  written(): Promise<void>
}

export function stateReport(file: string, log: Log, describe: () => SupervisorState): StateReport {
  let writing: Promise<void> | undefined
  let again = false
  const write = async () => {
    do {
      again = false
      // What else changes in this turn of the event loop goes into the same file.
      await new Promise((resolve) => setImmediate(resolve))
      await writeState(file, describe()).catch(
        (error: unknown) => void log.error(`supervisor.json could not be written: ${String(error)}`),
      )
    } while (again)
    writing = undefined
  }
  let beats = false
  const changed = () => {
    again = true
    writing ??= write()
    if (!beats) setInterval(changed, BEAT_MS).unref()
    beats = true
  }
  return {
    changed,
    async written() {
      await writing
    },
  }
}
