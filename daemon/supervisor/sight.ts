/**
 * The sensor in its place: told what it must know, started again where it can't watch all uplinks, and its blindness
 * and its losses put into the log as gaps.
 */
import type { Upstream } from '../dns-guard/upstreams.ts'
import type { Sighted } from './address-book.ts'
import type { Coverage } from './coverage.ts'
import type { SensorChild, SensorLearned, SensorOptions, SensorState } from './sensor-process.ts'

export interface Sight {
  readonly child: SensorChild
  state(): SensorState
  /** Packets that the kernel could not hand over, since the daemon's start. */
  drops(): number
  /** What the sensor could not read of what it got, since the daemon's start. */
  unread(): number
  /** The devices by which packets leave. */
  uplinks(names: readonly string[]): void
  stop(): Promise<void>
}

export interface SightOptions extends Omit<SensorOptions, 'state' | 'learned' | 'start' | 'short'> {
  readonly coverage: Pick<Coverage, 'lost' | 'regained' | 'gap'>
  readonly start: (uplinks: readonly string[]) => Record<string, unknown>
  readonly uplinks: readonly string[]
  /** The machine's own resolvers: what others answer teaches nothing. */
  readonly resolvers: () => readonly Upstream[]
  readonly learned: (entries: readonly Sighted[]) => void
  /** `state()` is another. */
  readonly stateChanged: () => void
  /** startSensor, or a test's. */
  readonly begin: (options: SensorOptions) => SensorChild
}

const GRACE_MS = 3000
const UNKNOWN: SensorState = { received: 0, kernelDrops: 0, unread: 0, blind: [] }

export function startSight(options: SightOptions): Sight {
  const { coverage, begin } = options
  let state = UNKNOWN
  let uplinks = options.uplinks
  let dropped = 0
  let unread = 0
  let looked = Date.now()

  const take = (next: SensorState) => {
    const now = Date.now()
    // Counts begin anew with each start of the sensor.
    const since = (count: 'kernelDrops' | 'unread') =>
      next[count] - (next[count] >= state[count] ? state[count] : 0)
    unread += since('unread')
    const lost = since('kernelDrops')
    if (lost > 0) {
      dropped += lost
      coverage.gap('sensor-overrun', looked, now, { packets: lost })
    }
    looked = now
    if (next.blind.length > 0) {
      const why = next.blind.map(({ device, reason }) => `${device}: ${reason}`).join('; ')
      coverage.lost('sensor-blind', { why: why.slice(0, 500) })
    } else coverage.regained('sensor-blind')
    state = next
    options.stateChanged()
  }
  const child: SensorChild = begin({
    account: options.account,
    log: options.log,
    sighting: options.sighting,
    strayed: options.strayed,
    changed: options.changed,
    groupOf: options.groupOf,
    died: options.died,
    state: take,
    short: () => void child.renew(),
    start: () => options.start(uplinks),
    learned: (learned) => {
      if (trusted(learned, options.resolvers)) options.learned(entriesOf(learned))
    },
  })
  return {
    child,
    state: () => state,
    drops: () => dropped,
    unread: () => unread,
    uplinks(names) {
      if (names.join(' ') === uplinks.join(' ')) return
      uplinks = [...names]
      // Whatever is still to be started begins with the newest ones.
      child.send({ type: 'uplinks', uplinks })
    },
    stop: () => child.stop((process) => process.send({ type: 'stop' }, () => {}), GRACE_MS),
  }
}

/**
 * Anybody may ask a server of his own, which says what he likes: to believe it would let every user have any address
 * treated as a provider's, a resolver's for instance, and so cut off. What the machine's own resolvers say is what its
 * programs go by.
 */
function trusted({ server }: SensorLearned, resolvers: () => readonly Upstream[]): boolean {
  return (
    server.startsWith('127.') || server === '::1' || resolvers().some(({ address }) => address === server)
  )
}

const entriesOf = ({ name, entries }: SensorLearned): Sighted[] =>
  entries.map(({ address, ttlSeconds }) => ({ address, ttlSeconds, name, passive: true }))
