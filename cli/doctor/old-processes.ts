/**
 * Programs that run without the variables by which they learn to trust the authority: they started before the
 * installation, or from where no login's environment reaches. Pure.
 */
import type { ClientVariable } from '../../ca/client-environment.ts'
import { clientRuntime } from '../../ca/client-runtimes.ts'
import type { Check } from './check.ts'
import type { Running } from './running.ts'

const MOST = 20

/** @param own uids whose processes are the gateway's */
export function oldProcesses(
  running: readonly Running[],
  variables: readonly ClientVariable[],
  own: ReadonlySet<number>,
  ownPrograms: string,
): Check[] {
  const lacking = running.flatMap((process) => {
    if (own.has(process.uid) || process.executable.startsWith(`${ownPrograms}/`)) return []
    const wanted = clientRuntime(process.executable)?.variables ?? []
    const missing = variables.filter(({ name }) => wanted.includes(name) && !process.environment.has(name))
    return missing.length === 0 ? [] : [{ process, missing }]
  })
  if (lacking.length === 0) {
    return [{ check: 'running programs', result: 'held', detail: 'each has the variables that it needs' }]
  }
  const shown = lacking.slice(0, MOST).map(({ process, missing }): Check => {
    const { pid, uid, name, executable, unit } = process
    return {
      check: 'running programs',
      result: 'attention',
      detail: `${name} (pid ${pid}, uid ${uid}, ${unit ?? 'no unit'}): ${executable} runs without ${missing.map((each) => each.name).join(', ')}`,
      remedy:
        unit === undefined ? 'End it and start it again from a new login.' : `sudo systemctl restart ${unit}`,
    }
  })
  const more = lacking.length - shown.length
  return more === 0
    ? shown
    : [...shown, { check: 'running programs', result: 'attention', detail: `and ${more} more` }]
}
