/**
 * When the promise held, said in the log: each span in which it did not hold, or can't be shown to have held, is a
 * `gap` record with its beginning and its end. What begins is told at once by an audit record, and its gap stands in
 * the evidence journal, since its end may never come.
 */
import { randomUUIDv7 } from 'node:crypto'
import { stat, utimes } from 'node:fs/promises'
import { writeFileAtomic } from '../base/durable/files.ts'
import type { IdentifiedEvidence } from './evidence-lines.ts'

type Detail = Readonly<Record<string, string | number | boolean>>

/** Why coverage can't be shown. Stable: auditors search for it. */
export type GapCause =
  /** No gateway ran. The fence refuses LLM traffic meanwhile, but nobody watched it. */
  | 'not-running'
  /** The owned tables did not stand, or their lease ran out: LLM traffic was refused, not captured. */
  | 'redirect-lost'
  | 'ruleset-changed'
  /** Changes of the rules went unseen; that they stand was looked at before and after. */
  | 'ruleset-unwatched'
  /** Others could send past every rule by AF_XDP sockets: a queue of an uplink's driver could not be held. */
  | 'driver-queues'
  /** The sensor doesn't see one of its sources, or isn't there. */
  | 'sensor-blind'
  /** Connections whose owner could not be told. */
  | 'attribution-unknown'
  /** The recorder could not take exchanges, and the policy let them go on all the same. */
  | 'unrecorded'
  /** The kernel had more to tell the sensor than it could take. */
  | 'sensor-overrun'

export interface Coverage {
  /** Governed traffic is captured from here on: the time without a gateway is over. */
  running(): void
  /** It no longer holds, from now on. Again while it is open: nothing. */
  lost(cause: GapCause, detail?: Detail): void
  /** It holds again: the span becomes a gap record. Nothing where it wasn't lost. */
  regained(cause: GapCause): void
  /** A span that is known once it is over. @param from milliseconds since the epoch, as `to` */
  gap(cause: GapCause, from: number, to: number, detail?: Detail, id?: string): void
  /** An ordered stop begins: every open span is closed, and what comes from now on is the next start's gap. */
  stopping(): Promise<void>
}

/** How often the sign of life is renewed: the most by which a gap after a crash begins too early. */
const ALIVE_MS = 2000

export interface CoverageOptions {
  /** A file whose time stamp says until when a gateway ran. */
  readonly aliveFile: string
  /** What this start found: detail of the gap since the last gateway. */
  readonly found: Detail
  readonly audit: (event: string, detail: Detail) => void
  readonly gap: (cause: GapCause, from: number, to: number, detail?: Detail, id?: string) => void
  /** A span that is open: if this process dies, the next start tells it as over at the last sign of life. */
  readonly draft: (evidence: IdentifiedEvidence, open: true) => void
  readonly now?: () => number
}

/** When a gateway of this state directory was last known to run, milliseconds since the epoch. */
export async function lastAlive(aliveFile: string): Promise<number | undefined> {
  return stat(aliveFile).then(
    ({ mtimeMs }) => mtimeMs,
    () => undefined,
  )
}

/**
 * Opens the gap since the last gateway of this state directory ended, if there was one, and keeps the sign of life. The gap is
 * written down before the sign of life says otherwise.
 */
export async function openCoverage({
  aliveFile,
  found,
  audit,
  gap,
  draft,
  now = Date.now,
}: CoverageOptions): Promise<Coverage> {
  const open = new Map<GapCause, { readonly id: string; readonly from: number; readonly detail?: Detail }>()
  const begin = (cause: GapCause, from: number, detail?: Detail) => {
    const id = randomUUIDv7()
    open.set(cause, { id, from, ...(detail && { detail }) })
    draft({ type: 'gap', id, cause, from, to: from, ...(detail && { detail: { ...detail } }) }, true)
  }
  const last = await lastAlive(aliveFile)
  // A clock that was set back must not make a gap that ends before it begins.
  if (last !== undefined) begin('not-running', Math.min(last, now()), found)
  await writeFileAtomic(aliveFile, Buffer.alloc(0), { mode: 0o600, durable: false })
  const touch = () => utimes(aliveFile, new Date(now()), new Date(now())).catch(() => {})
  const alive = setInterval(touch, ALIVE_MS)
  alive.unref()
  let over = false

  const regained = (cause: GapCause) => {
    const span = open.get(cause)
    if (span === undefined) return
    open.delete(cause)
    gap(cause, span.from, Math.max(now(), span.from), span.detail, span.id)
  }
  return {
    running: () => regained('not-running'),
    lost(cause, detail = {}) {
      if (over || open.has(cause)) return
      begin(cause, now(), detail)
      audit('coverage-lost', { cause, ...detail })
    },
    regained,
    gap,
    async stopping() {
      if (over) return
      over = true
      clearInterval(alive)
      for (const cause of [...open.keys()]) regained(cause)
      await touch()
    },
  }
}
