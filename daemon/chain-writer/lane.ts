/**
 * A lane: one chain, one key, one nonce at a time. It goes round by itself, whatever the chain does, and tells how it
 * stands; the recorder never waits for it.
 */
import { AnchorError, messageOf } from '../base/errors.ts'
import type { Health } from '../base/health.ts'
import { authorizationHealth } from './authorized.ts'
import { ChainError, refusalOf } from './chain-error.ts'
import { type AnchorCheckpoint, dueIn } from './checkpoint.ts'
import { doubt } from './doubt.ts'
import type { LaneContext } from './lane-context.ts'
import type { Head, Registration } from './registry.ts'
import { EQUIVOCATION_REMEDY, makeRound } from './round.ts'

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
export type LaneOptions = Omit<LaneContext, 'newest' | 'doubts'> & {
  /** Found when the state was read. */
  readonly health?: readonly Health[]
  /** Called when anything that can be shown has changed. */
  readonly changed: () => void
}

const FIRST_BACK_OFF_MS = 250
/** At an anchor a minute this is little; who anchors once a day has time. */
const FEW_ANCHORS = 20n
/** A chain that starts with the gateway isn't up at once: no state of health before this. */
const SETTLING_MS = 5_000

export function startLane(options: LaneOptions): Lane {
  const { name, kind, limits, now, changed, anchoring, record, alarm, endpoints } = options
  let newest: { checkpoint: AnchorCheckpoint; since: number } | undefined
  let head: Head | undefined
  let registration: Registration | undefined
  let failure: { error: unknown; since: number; count: number } | undefined
  let lostAnchors = 0
  let balance: bigint | undefined
  let balanceSeen = 0
  let hindered: { what: string; since: number } | undefined
  let conflict: string | undefined
  let stopped = false
  let wakeAt = 0
  let sleeping: { timer: NodeJS.Timeout; wake: () => void } | undefined

  const newDoubt = () => doubt(now, limits.patienceMs)
  const lane: LaneContext = {
    ...options,
    newest: () => newest,
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
      if (result.head) head = result.head
      if (result.registration) registration = result.registration
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

  const health = (): Health[] => {
    const list: Health[] = [...(options.health ?? [])]
    const add = (code: string, severity: Health['severity'], title: string, remedy: string) =>
      list.push({ code, severity, title: `${name}: ${title}`, remedy })
    if (alarm.alarm) {
      const { title, since } = alarm.alarm
      add(
        'chain.equivocation',
        'error',
        since === undefined ? title : `${title} (since ${since})`,
        `${EQUIVOCATION_REMEDY} When you know what happened: stop the gateway, remove ${alarm.path}, start it.`,
      )
    }
    if (registration) list.push(...authorizationHealth(options, registration))
    if (conflict) add('chain.checkpoint-conflict', 'error', conflict, EQUIVOCATION_REMEDY)
    if (failure && !isSettling(failure)) {
      const { code, remedy } = describeFailure(failure.error)
      if (code !== 'chain.equivocation') {
        add(code, code === 'chain.ledger-behind' ? 'error' : 'warning', messageOf(failure.error), remedy)
      }
    }
    for (const { host, error, failures } of endpoints.count > 1 ? endpoints.unwell : []) {
      add(
        'chain.endpoint-unwell',
        'warning',
        `${host} is passed over, ${failures} failures in a row: ${messageOf(error)}`,
        'The other endpoints stand in, and it is tried again by itself. If it stays so, replace it in `rpc` of this chain.',
      )
    }
    if (hindered && now() - hindered.since > limits.patienceMs) {
      add(
        'chain.not-final',
        'warning',
        `${hindered.what}: the anchor isn't counted as final`,
        'Two of the endpoints in `rpc` must agree on it. If it stays so, replace the one that lags, lies or is dead.',
      )
    }
    const price = BigInt(options.journal.spending?.lastAnchor ?? 0)
    if (balance !== undefined && balance < price * FEW_ANCHORS) {
      add(
        'chain.low-funds',
        'warning',
        `the gateway's account ${options.signer.address} holds enough for about ${balance / price} anchors`,
        `Send some of chain ${options.chainId}'s currency to it before anchoring stops.`,
      )
    }
    const since = waitingSince()
    const overdue = since === undefined ? 0 : now() - since
    if (overdue > 3 * anchoring.maxDelayMs + SETTLING_MS) {
      add(
        'chain.behind',
        'warning',
        `the newest checkpoint isn't anchored for ${Math.round(overdue / 60_000)} min`,
        'See the other states of this chain. Recording goes on; one anchor catches up with everything.',
      )
    }
    if (lostAnchors > 0) {
      add(
        'chain.lost-anchors',
        kind === 'development' ? 'info' : 'error',
        `the chain no longer had ${lostAnchors} anchor(s); the newest checkpoint is anchored again`,
        kind === 'development'
          ? 'Nothing to do: the development chain started anew.'
          : 'A deep reorganisation or another chain behind the same endpoint: check `rpc` of this chain.',
      )
    }
    return list
  }
  const isSettling = ({ error, since }: { error: unknown; since: number }) =>
    error instanceof ChainError && error.code === 'RPC_UNREACHABLE' && now() - since < SETTLING_MS

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

function describeFailure(error: unknown): { code: string; remedy: string } {
  if (error instanceof ChainError) {
    return { code: `chain.${error.code.toLowerCase().replaceAll('_', '-')}`, remedy: error.remedy }
  }
  if (error instanceof AnchorError) return { code: 'chain.state', remedy: error.remedy }
  return { code: 'chain.failed', remedy: 'This is a fault of the gateway: report it with this message.' }
}
