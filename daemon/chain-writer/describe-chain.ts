/** A chain for `status`: what the lane knows, as the thread's messages have it. Pure. */
import { standingOf } from './chain-standing.ts'
import type { ChainSpec, ChainState } from './chain-writer-state.ts'
import type { Journal } from './journal.ts'
import type { Lane } from './lane.ts'
import type { LaneRecord } from './lane-context.ts'
import type { LaneSettings } from './lane-settings.ts'
import { FOREVER } from './registry.ts'
import { spentToday } from './spending.ts'

export function describeChain(of: {
  readonly spec: ChainSpec
  readonly settings: LaneSettings
  readonly logKey: string
  readonly owner: string
  readonly gatewayAddress: string
  readonly lane: Lane
  readonly journal: Journal
  readonly record: LaneRecord
  readonly now: number
}): ChainState {
  const { spec, settings, logKey, owner, gatewayAddress, lane, journal, record } = of
  const { chainId, label, currency, explorer } = settings
  const inFlight = pending(journal)
  return {
    name: spec.name,
    kind: spec.kind,
    chainId,
    ...(label === undefined ? {} : { label }),
    ...(currency === undefined ? {} : { currency }),
    ...(explorer === undefined ? {} : { explorer }),
    ...(record.contract ? { contract: record.contract } : {}),
    logKey,
    gatewayAddress,
    owner,
    ...authorization(lane),
    ...(lane.head ? { head: { size: lane.head.size.toString(), root: lane.head.root } } : {}),
    ...anchored(record),
    ...(lane.waitingSince === undefined ? {} : { waitingSince: new Date(lane.waitingSince).toISOString() }),
    ...(spec.kind === 'development' ? {} : { funds: funds(of) }),
    ...inFlight,
    ...standingOf({
      anchors: record.anchors,
      pending: inFlight.pending?.size,
      health: lane.health,
    }),
    health: [...lane.health],
  }
}

function authorization({ registration }: Lane): Pick<ChainState, 'authorization'> {
  if (!registration) return {}
  const { policy, until } = registration
  return {
    authorization: until < FOREVER ? { policy, until: new Date(until * 1000).toISOString() } : { policy },
  }
}

function anchored({ anchors }: LaneRecord): Pick<ChainState, 'anchored'> {
  const newest = anchors.at(-1)
  if (!newest) return {}
  const { size, root, transaction, block, blockHash, time, finality, confirmedBy } = newest
  const shown = { size, root, transaction, block, blockHash, time, finality }
  return { anchored: confirmedBy === undefined ? shown : { ...shown, confirmedBy } }
}

function pending({ inFlight }: Journal): Pick<ChainState, 'pending'> {
  const last = inFlight?.transactions.at(-1)
  if (!last) return {}
  const { purpose, hash, signed } = last
  return {
    pending: {
      purpose: purpose.type,
      ...(purpose.type === 'anchor' ? { size: purpose.size } : {}),
      transaction: hash,
      since: new Date(signed).toISOString(),
    },
  }
}

function funds(of: {
  readonly settings: LaneSettings
  readonly lane: Lane
  readonly journal: Journal
  readonly now: number
}): NonNullable<ChainState['funds']> {
  const { spending } = of.journal
  const { maxPerDay } = of.settings.caps
  const { balance } = of.lane
  return {
    ...(balance === undefined ? {} : { balance: balance.toString() }),
    spentToday: spentToday(spending, of.now).toString(),
    ...(maxPerDay === undefined ? {} : { budget: maxPerDay.toString() }),
    ...(spending?.lastAnchor === undefined ? {} : { lastAnchor: spending.lastAnchor }),
  }
}
