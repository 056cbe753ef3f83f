/**
 * Programs that can't trust the authority as they run: they began without the variables by which they learn to, or before
 * the certificate that signs was trusted on this machine, and most read their roots once, when they start. Pure.
 */
import type { ClientVariable } from '../../ca/client-environment.ts'
import { clientRuntime } from '../../ca/client-runtimes.ts'
import type { Introduced } from '../../daemon/supervisor/authority/introduced.ts'
import type { Caller } from './callers.ts'
import type { Check } from './check.ts'
import type { Running } from './running.ts'

const MOST = 20

export interface Trust {
  readonly variables: readonly ClientVariable[]
  /** The newest of the gateway's certificates, and when it was. */
  readonly introduced: Introduced
  /** Who called providers lately. */
  readonly callers: readonly Caller[]
  /** Uids whose processes are the gateway's. */
  readonly own: ReadonlySet<number>
  /** Where the gateway's own programs are. */
  readonly ownPrograms: string
}

export function oldProcesses(running: readonly Running[], trust: Trust): Check[] {
  const { own, ownPrograms } = trust
  const found = running.flatMap((process) => {
    if (own.has(process.uid) || process.executable.startsWith(`${ownPrograms}/`)) return []
    const lack = lackOf(process, trust)
    return lack === undefined ? [] : [{ process, lack }]
  })
  if (found.length === 0) {
    const detail = 'each has the variables that it needs, and began after the CA was trusted'
    return [{ check: 'running programs', result: 'held', detail }]
  }
  const shown = found.slice(0, MOST).map(({ process, lack }): Check => {
    const { pid, uid, name, executable, unit } = process
    return {
      check: 'running programs',
      result: 'attention',
      detail: `${name} (pid ${pid}, uid ${uid}, ${unit ?? 'no unit'}): ${executable} ${lack}`,
      remedy:
        unit === undefined ? 'End it and start it again from a new login.' : `sudo systemctl restart ${unit}`,
    }
  })
  const more = found.length - shown.length
  return more === 0
    ? shown
    : [...shown, { check: 'running programs', result: 'attention', detail: `and ${more} more` }]
}

function lackOf(process: Running, { variables, introduced, callers }: Trust): string | undefined {
  const runtime = clientRuntime(process.executable)
  const missing = variables.filter(
    ({ name }) => runtime?.variables.includes(name) && !process.environment.has(name),
  )
  if (missing.length > 0) return `runs without ${missing.map(({ name }) => name).join(', ')}`
  const calls = callers.filter(
    ({ pid, executable, time }) =>
      pid === process.pid && executable === process.executable && time >= process.startedAt,
  )
  if (process.startedAt >= introduced.time || (runtime === undefined && calls.length === 0)) return undefined
  const { signsFrom } = introduced
  // One that reads its roots for each connection has shown it.
  if (signsFrom !== undefined && calls.some(({ time, trusted }) => trusted && time > signsFrom))
    return undefined
  const since = new Date(process.startedAt).toISOString()
  const then = new Date(introduced.time).toISOString()
  if (introduced.first) return `runs since ${since}; the CA is trusted since ${then}`
  return `runs since ${since}; the CA's successor, which ${signsFrom === undefined ? 'is to sign' : 'signs'}, is trusted since ${then}`
}
