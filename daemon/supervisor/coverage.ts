/**
 * When the promise held, said in the log: each span in which it did not hold, or can't be shown to have held, is a
 * `gap` record with its beginning and its end. What begins is told at once by an audit record, since its end may
 * never come.
 */
import { stat, utimes } from 'node:fs/promises'
import { writeFileAtomic } from '../base/durable.ts'

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
  /** It no longer holds, from now on. Again while it is open: nothing. */
  lost(cause: GapCause, detail?: Detail): void
  /** It holds again: the span becomes a gap record. Nothing where it wasn't lost. */
  regained(cause: GapCause): void
  /** A span that is known once it is over. @param from milliseconds since the epoch, as `to` */
  gap(cause: GapCause, from: number, to: number, detail?: Detail): void
  /** Closes every open span: what comes after an ordered stop is the next start's gap. */
  close(): Promise<void>
}

/** How often the sign of life is renewed: the most by which a gap after a crash begins too early. */
const ALIVE_MS = 2000

export interface CoverageOptions {
  /** A file whose time stamp says until when a gateway ran. */
  readonly aliveFile: string
  readonly audit: (event: string, detail: Detail) => void
  readonly gap: (cause: GapCause, from: number, to: number, detail?: Detail) => void
  readonly now?: () => number
}

/** Tells the gap since the last gateway of this state directory ended, if there was one, and keeps the sign of life. */
export async function openCoverage({
  aliveFile,
  audit,
  gap,
  now = Date.now,
}: CoverageOptions): Promise<Coverage> {
  const open = new Map<GapCause, { readonly from: number; readonly detail: Detail }>()
  const last = await stat(aliveFile).then(
    ({ mtimeMs }) => mtimeMs,
    () => undefined,
  )
  // A clock that was set back must not make a gap that ends before it begins.
  if (last !== undefined) gap('not-running', Math.min(last, now()), now())
  await writeFileAtomic(aliveFile, Buffer.alloc(0), { mode: 0o600, durable: false })
  const touch = () => utimes(aliveFile, new Date(now()), new Date(now())).catch(() => {})
  const alive = setInterval(touch, ALIVE_MS)
  alive.unref()

  const regained = (cause: GapCause) => {
    const span = open.get(cause)
    if (span === undefined) return
    open.delete(cause)
    gap(cause, span.from, Math.max(now(), span.from), span.detail)
  }
  return {
    lost(cause, detail = {}) {
      if (open.has(cause)) return
      open.set(cause, { from: now(), detail })
      audit('coverage-lost', { cause, ...detail })
    },
    regained,
    gap,
    async close() {
      clearInterval(alive)
      for (const cause of [...open.keys()]) regained(cause)
      await touch()
    },
  }
}
