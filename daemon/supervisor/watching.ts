/** What watches beside the proxies: whose connections are, what went past us, what the kernel refused. */
import { steadyNow } from '../base/steady-clock.ts'
import type { Config } from '../config/config.ts'
import { upstreamSource } from '../dns-guard/upstreams.ts'
import type { Account } from './accounts.ts'
import type { AddressBook, Sighted } from './address-book.ts'
import { type Attribution, startAttribution } from './attribution/attribution.ts'
import type { AuditTrail } from './audit-trail.ts'
import { counterRecords } from './counter-records.ts'
import type { Coverage } from './coverage.ts'
import type { CutBook } from './cut-book.ts'
import type { Enforcer } from './enforcer.ts'
import type { Log } from './log.ts'
import type { PolicyKeeper, Prepared } from './policy-keeper.ts'
import type { Running } from './running.ts'
import { startSensor } from './sensor-process.ts'
import { type Sight, startSight } from './sight.ts'
import { type SightingSink, sightings } from './sightings.ts'
import { socketGroup } from './socket-group.ts'

export interface Watching {
  readonly attribution: Attribution
  readonly seen: SightingSink
  readonly eyes: Sight
}

export function startWatching(options: {
  readonly config: Pick<Config, 'bridges'>
  readonly initial: Prepared
  /** The sensor's. */
  readonly account: Account
  readonly proxyUid: number
  /** The sensor reads the resolvers' answers too, where no guard does. */
  readonly readsDns: boolean
  readonly inForce: Pick<PolicyKeeper, 'current'>
  readonly book: AddressBook
  readonly cuts: CutBook
  readonly enforcement: Enforcer
  readonly coverage: Coverage
  readonly trail: AuditTrail
  readonly uplinks: readonly string[]
  readonly learned: (entries: readonly Sighted[]) => void
  readonly running: Running
  readonly log: Log
  readonly changed: () => void
  /** Takes on what is to be stopped. */
  readonly stack: AsyncDisposableStack
}): Watching {
  const { initial, inForce, book, cuts, enforcement, coverage, trail, running, log, stack } = options
  const { policy } = initial.rules
  const attribution = startAttribution({
    log,
    unknown: ({ count, from, to }) => coverage.gap('attribution-unknown', from, to, { connections: count }),
  })
  stack.defer(() => attribution.stop())
  const seen = sightings({
    policy: () => inForce.current.rules.policy,
    nameOf: (address) => book.nameOf(address),
    agent: (flow) => attribution.agent(flow),
    record: trail.sighting,
  })

  const counters = counterRecords({
    read: () => enforcement.counters(),
    sensorDrops: () => running.sight?.drops() ?? 0,
    sensorUnread: () => running.sight?.unread() ?? 0,
    audit: trail.write,
    log,
  })
  const eyes = startSight({
    begin: startSensor,
    account: options.account,
    log,
    coverage,
    uplinks: options.uplinks,
    start: (uplinks) => ({
      logGroup: policy.enforcement.logGroup,
      ...(options.readsDns ? { dnsLogGroup: policy.enforcement.dnsLogGroup } : {}),
      uplinks,
      bridges: options.config.bridges,
      catalogue: inForce.current.rules.catalogue,
      providerAddresses: [...book.addresses4, ...book.addresses6],
      proxyUid: options.proxyUid,
      governed: { subjects: initial.enforcement.subjects, exempt: initial.enforcement.exempt },
    }),
    groupOf: (inode) => socketGroup(attribution.ask, inode),
    resolvers: upstreamSource([]),
    learned: options.learned,
    sighting: (sighting) => {
      seen.sensor(sighting)
      counters.nudge()
    },
    strayed: (stray) => {
      if (cuts.strayed(stray, steadyNow())) void enforcement.cutsChanged()
    },
    stateChanged: options.changed,
    changed: options.changed,
    died: (how) => trail.write('child-died', { child: 'sensor', how }),
  })
  running.sight = eyes
  running.children.push(eyes.child)
  stack.defer(() => eyes.stop())
  stack.defer(() => counters.stop())
  return { attribution, seen, eyes }
}
