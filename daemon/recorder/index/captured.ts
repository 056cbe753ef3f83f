/**
 * What was captured lately, as the status says it: counted from the index, so that a restart forgets nothing. Each look
 * reads what is new, and of a long backlog a part: nobody waits for it.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { Agent } from '../record.ts'

/** Numbers only, but for the last one's provider: every local user may read the status. */
export interface Captured {
  /** Exchanges in the log. */
  readonly total: number
  /** Of the last 24 hours, without what the gateway tries itself. */
  readonly lately: number
  /** Distinct ones of the last 24 hours: by user and container, unit or program. */
  readonly agents: number
  readonly last?: { readonly time: string; readonly provider: string }
  /** The last 24 hours are not counted to their end yet. */
  readonly counting: boolean
}

export const NOTHING_CAPTURED: Captured = { total: 0, lately: 0, agents: 0, counting: true }

/** The gateway's own provider (policies/providers.yaml): who calls it, by `doctor`, tries whether others would be captured. */
const OWN_PROVIDER = 'canary'
const WINDOW_MS = 24 * 3600_000
/** Exchanges leave the window by such steps. */
const STEP_MS = 10 * 60_000
const MOST_ROWS = 1000
const MOST_AGENTS = 10_000

interface Row {
  readonly leaf: number
  readonly time: string
  readonly provider: string | null
  readonly bytes: Uint8Array
}

export class CapturedLately {
  /** Exchanges by their time's step. */
  readonly #steps = new Map<number, number>()
  /** When each was seen last. */
  readonly #agents = new Map<string, number>()
  #next: number | undefined
  #total = 0

  look(database: DatabaseSync, now = Date.now()): Captured {
    const after = now - WINDOW_MS
    this.#next ??= this.#begin(database, after)
    const rows = database
      .prepare(
        "SELECT leaf, time, provider, bytes FROM record WHERE kind = 'exchange' AND leaf >= ? ORDER BY leaf LIMIT ?",
      )
      .all(this.#next, MOST_ROWS) as unknown as Row[]
    for (const row of rows) {
      this.#next = row.leaf + 1
      this.#total += 1
      if (row.provider !== OWN_PROVIDER) this.#add(Date.parse(row.time), row.bytes)
    }
    this.#forget(after)
    const last = database
      .prepare(
        "SELECT time, provider FROM record WHERE kind = 'exchange' AND provider IS NOT ? ORDER BY leaf DESC LIMIT 1",
      )
      .get(OWN_PROVIDER) as { time: string; provider: string } | undefined
    return {
      total: this.#total,
      lately: [...this.#steps.values()].reduce((sum, count) => sum + count, 0),
      agents: this.#agents.size,
      ...(last && { last: { ...last } }),
      counting: rows.length === MOST_ROWS,
    }
  }

  /** Those before the window are only counted. @returns the first leaf to be read */
  #begin(database: DatabaseSync, after: number): number {
    const first = leafSince(database, after)
    const before = database
      .prepare("SELECT count(*) AS n FROM record WHERE kind = 'exchange' AND leaf < ?")
      .get(first)
    this.#total = Number(before?.n)
    return first
  }

  #add(time: number, bytes: Uint8Array): void {
    const step = Math.floor(time / STEP_MS)
    this.#steps.set(step, (this.#steps.get(step) ?? 0) + 1)
    const { agent } = JSON.parse(Buffer.from(bytes).toString('utf8')) as { agent?: Agent }
    const key = agentKey(agent)
    if (this.#agents.size < MOST_AGENTS || this.#agents.has(key))
      this.#agents.set(key, Math.max(time, this.#agents.get(key) ?? 0))
  }

  #forget(before: number): void {
    for (const step of this.#steps.keys()) if ((step + 1) * STEP_MS <= before) this.#steps.delete(step)
    for (const [key, seen] of this.#agents) if (seen < before) this.#agents.delete(key)
  }
}

function agentKey(agent: Agent = {}): string {
  const { uid, container, unit, processes } = agent
  const program = processes?.[0]?.executable ?? processes?.[0]?.name
  // A login's scope (systemd.scope(5)) says no more than that it was another login.
  const service = unit?.endsWith('.scope') ? undefined : unit
  return JSON.stringify([uid, container ?? service ?? program])
}

/** The first leaf that isn't older, by bisection: leaves follow one another nearly as their times do. */
function leafSince(database: DatabaseSync, time: number): number {
  const at = database.prepare('SELECT leaf, time FROM record WHERE leaf >= ? ORDER BY leaf LIMIT 1')
  const newest = database.prepare('SELECT max(leaf) AS leaf FROM record').get()?.leaf
  let [low, high] = [0, typeof newest === 'number' ? newest + 1 : 0]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const row = at.get(middle) as { leaf: number; time: string } | undefined
    if (row === undefined || Date.parse(row.time) >= time) high = middle
    else low = row.leaf + 1
  }
  return low
}
