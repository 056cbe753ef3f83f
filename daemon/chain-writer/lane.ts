/**
 * A lane: one chain, one key, one nonce at a time. It goes round by itself, whatever the chain does, and tells how it
 * stands; the recorder never waits for it.
 */
import type { Health } from '../base/health.ts'
import { refusalOf } from './chain-error.ts'
import { type AnchorCheckpoint, dueIn } from './checkpoint.ts'
import { doubt } from './doubt.ts'
import type { LaneContext } from './lane-context.ts'
import { type Failure, type LaneTroubles, laneHealth } from './lane-health.ts'
import type { Head, Registration } from './registry.ts'
import { makeRound } from './round.ts'

export interface Lane {
  /** Takes the newest checkpoint; older ones are passed over. */
  checkpoint(checkpoint: AnchorCheckpoint): void
  readonly newest: AnchorCheckpoint | undefined
  /** Of the log on the chain, as last seen. */
  readonly head: Head | undefined
  /** Since when leaves of the newest checkpoint wait for an anchor (ms since the epoch); undefined where none does. */
  readonly waitingSince: number | undefined
  /** Of the gateway's account, as last seen. */
  readonly balance: bigint | undefined
  /** Of the log on the chain, as last seen; undefined until the gateway may anchor. */
  readonly registration: Registration | undefined
  readonly health: readonly Health[]
  /** Ends after the step under way; what is signed stays in the journal. */
  stop(): Promise<void>
}

/** What a lane is started with: all of its context but what it makes itself. */
export type LaneOptions = Omit<LaneContext, 'newest' | 'saw' | 'doubts'> & {
  /** Found when the state was read. */
  readonly health?: readonly Health[]
  /** Called when anything that can be shown has changed. */
  readonly changed: () => void
}

const FIRST_BACK_OFF_MS = 250
export function startLane(options: LaneOptions): Lane {
  const { kind, limits, now, changed, anchoring, record } = options
  let newest: { checkpoint: AnchorCheckpoint; since: number } | undefined
  let head: Head | undefined
  let registration: Registration | undefined
  let failure: Failure | undefined
  let lostAnchors = 0
  let balance: bigint | undefined
  let balanceSeen = 0
  let hindered: LaneTroubles['hindered']
  let conflict: string | undefined
  let stopped = false
  let wakeAt = 0
  let sleeping: { timer: NodeJS.Timeout; wake: () => void } | undefined

  const newDoubt = () => doubt(now, limits.patienceMs)
  const lane: LaneContext = {
    ...options,
    newest: () => newest,
    saw: (seen) => {
      ;({ head, registration } = seen)
    },
    doubts: { nonce: newDoubt(), inFlight: newDoubt(), loss: newDoubt() },
  }

  const sleep = (ms: number) =>
    new Promise<void>((wake) => {
      wakeAt = now() + ms
      sleeping = { wake, timer: setTimeout(wake, ms) }
    })
  const wake = () => {
    if (!sleeping) return
    clearTimeout(sleeping.timer)
    sleeping.wake()
  }

  const lookAtBalance = async () => {
    if (kind === 'development' || (balance !== undefined && now() - balanceSeen < limits.checkMs)) return
    balance = await options.chain.balance(options.signer.address)
    balanceSeen = now()
  }

  const once = async (): Promise<number> => {
    try {
      const result = await makeRound(lane)
      failure = undefined
      if (result.hindrance === undefined) hindered = undefined
      else hindered = { what: result.hindrance, since: hindered?.since ?? now() }
      lostAnchors += result.lost ?? 0
      await lookAtBalance()
      return result.wait
    } catch (error) {
      failure = { error, since: failure?.since ?? now(), count: (failure?.count ?? 0) + 1 }
      // Half of it at random, so that gateways that fell over together don't return together.
      const pause = Math.min(FIRST_BACK_OFF_MS * 2 ** Math.min(failure.count - 1, 20), limits.maxBackOffMs)
      return Math.max(pause * (0.5 + Math.random() / 2), refusalOf(error)?.retryAfterMs ?? 0)
    }
  }

  const describe = () =>
    JSON.stringify([
      health(),
      head?.size.toString(),
      record.anchors.at(-1),
      options.journal.inFlight,
      hindered,
    ])

  const waitingSince = () =>
    newest && newest.checkpoint.size > (head?.size ?? 0n) ? newest.since : undefined

  const health = () =>
    laneHealth(lane, {
      found: options.health ?? [],
      registration,
      failure,
      conflict,
      hindered,
      lostAnchors,
      balance,
      waitingSince: waitingSince(),
    })

  const running = (async () => {
    while (!stopped) {
      const before = describe()
      const pause = await once()
      if (describe() !== before) changed()
      if (stopped) break
      await sleep(Math.max(1, pause))
      sleeping = undefined
    }
  })()

  return {
    get newest() {
      return newest?.checkpoint
    },
    get head() {
      return head
    },
    get waitingSince() {
      return waitingSince()
    },
    get balance() {
      return balance
    },
    get registration() {
      return registration
    },
    get health() {
      return health()
    },
    checkpoint(checkpoint) {
      const last = newest?.checkpoint
      if (last && checkpoint.size === last.size && checkpoint.root !== last.root) {
        conflict = `the ledger gave two roots for ${checkpoint.size} leaves`
        changed()
      }
      if (last && checkpoint.size <= last.size) return
      const caughtUp = !newest || newest.checkpoint.size <= (head?.size ?? 0n)
      newest = { checkpoint, since: caughtUp ? now() : newest!.since }
      // Back-off after a failure isn't cut short: checkpoints come every second.
      if (failure) return
      const { since } = newest
      const due = head
        ? dueIn({ anchored: head.size, newest: checkpoint.size, since, now: now() }, anchoring)
        : 0
      // A chain that has more than the ledger is told at once, not when it is next looked at.
      if (due <= 0 || (head && head.size > checkpoint.size)) wake()
      else if (now() + due < wakeAt && sleeping) {
        clearTimeout(sleeping.timer)
        wakeAt = now() + due
        sleeping.timer = setTimeout(sleeping.wake, due)
      }
    },
    async stop() {
      stopped = true
      wake()
      await running
    },
  }
}
