/** How a lane stands, as health states: pure. */
import { AnchorError, messageOf } from '../base/errors.ts'
import type { Health } from '../base/health.ts'
import type { HealthCode } from '../base/health-codes.ts'
import { authorizationHealth } from './authorized.ts'
import { ChainError, type ChainErrorCode } from './chain-error.ts'
import type { LaneContext } from './lane-context.ts'
import type { Registration } from './registry.ts'
import { EQUIVOCATION_REMEDY } from './round.ts'

export interface Failure {
  readonly error: unknown
  readonly since: number
  /** In a row. */
  readonly count: number
}

/** What a lane remembers of its rounds. Times are milliseconds since the epoch. */
export interface LaneTroubles {
  /** When the state was read. */
  readonly found: readonly Health[]
  /** Of the log on the chain, as last seen. */
  readonly registration: Registration | undefined
  readonly failure: Failure | undefined
  /** The ledger contradicted itself. */
  readonly conflict: string | undefined
  readonly hindered: { readonly what: string; readonly since: number } | undefined
  readonly lostAnchors: number
  readonly balance: bigint | undefined
  readonly waitingSince: number | undefined
}

const CONFLICT_REMEDY =
  'Only the first is anchored. Keep the ledger as it is, find out with `agent-anchor ledger fsck`, then begin a new log ' +
  '(another `ledger.origin`).'
/** At an anchor a minute this is little; who anchors once a day has time. */
const FEW_ANCHORS = 20n
/** A chain that starts with the gateway isn't up at once: no state of health before this. */
const SETTLING_MS = 5_000

export function laneHealth(lane: LaneContext, troubles: LaneTroubles): Health[] {
  const { name, kind, limits, now, anchoring, alarm, endpoints, journal, signer, chainId } = lane
  const { registration, failure, conflict, hindered, lostAnchors, balance, waitingSince } = troubles
  const list: Health[] = [...troubles.found]
  const add = (code: HealthCode, severity: Health['severity'], title: string, remedy: string) =>
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
  if (registration) list.push(...authorizationHealth(lane, registration))
  if (conflict) add('chain.checkpoint-conflict', 'error', conflict, CONFLICT_REMEDY)
  if (failure && !isSettling(failure, now())) {
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
  const price = BigInt(journal.spending?.lastAnchor ?? 0)
  if (balance !== undefined && balance < price * FEW_ANCHORS) {
    add(
      'chain.low-funds',
      'warning',
      `the gateway's account ${signer.address} holds enough for about ${balance / price} anchors`,
      `Send some of chain ${chainId}'s currency to it before anchoring stops.`,
    )
  }
  const overdue = waitingSince === undefined ? 0 : now() - waitingSince
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
        ? 'Nothing to do: the development chain started anew. The next restart takes this away.'
        : 'A deep reorganisation or another chain behind the same endpoint: check `rpc` of this chain, then restart the gateway.',
    )
  }
  return list
}

const isSettling = ({ error, since }: Failure, now: number) =>
  error instanceof ChainError && error.code === 'RPC_UNREACHABLE' && now - since < SETTLING_MS

const FAILURES: Readonly<Record<ChainErrorCode, HealthCode>> = {
  RPC_UNREACHABLE: 'chain.rpc-unreachable',
  RPC_REFUSED: 'chain.rpc-refused',
  RPC_GARBAGE: 'chain.rpc-garbage',
  WRONG_CHAIN: 'chain.wrong-chain',
  WRONG_CONTRACT: 'chain.wrong-contract',
  REVERTED: 'chain.reverted',
  NOT_AUTHORIZED: 'chain.not-authorized',
  UNFUNDED: 'chain.unfunded',
  FEES_TOO_HIGH: 'chain.fees-too-high',
  OVER_BUDGET: 'chain.over-budget',
  STALLED: 'chain.stalled',
  UNCONFIRMED: 'chain.unconfirmed',
  EQUIVOCATION: 'chain.equivocation',
  LEDGER_BEHIND: 'chain.ledger-behind',
  NO_CONSISTENCY_PROOF: 'chain.no-consistency-proof',
  STATE_DAMAGED: 'chain.state-damaged',
  // No round of a lane ends with these.
  NOT_ANCHORED: 'chain.failed',
  BAD_MESSAGE: 'chain.failed',
  NO_ANVIL: 'chain.failed',
}

function describeFailure(error: unknown): { code: HealthCode; remedy: string } {
  if (error instanceof ChainError) return { code: FAILURES[error.code], remedy: error.remedy }
  if (error instanceof AnchorError) return { code: 'chain.state', remedy: error.remedy }
  return { code: 'chain.failed', remedy: 'This is a fault of the gateway: report it with this message.' }
}
