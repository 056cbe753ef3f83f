/** The proxy workers as this gateway starts them; together they are what captures. */
import { availableParallelism } from 'node:os'
import type { RulesInForce } from '../../policies/rules.ts'
import { needsHolding } from '../anchoring/level.ts'
import { anchoringOf } from '../anchoring/settings.ts'
import type { Config } from '../config/config.ts'
import type { HoldSettings } from '../proxy/holding/holds.ts'
import type { Agent } from '../recorder/record.ts'
import type { Account } from './accounts.ts'
import type { OwnerFlow } from './attribution/owner.ts'
import { CANARY_ADDRESS, CANARY_NAME } from './canary.ts'
import type { Child } from './child.ts'
import type { Layout } from './layout.ts'
import type { LeafService } from './leaf-service.ts'
import type { Log } from './log.ts'
import { type DialledFlow, type LearnedAddress, type Listener, startWorker } from './proxy-workers.ts'
import { Traffic, type WorkerCounters } from './traffic.ts'

export interface Proxies {
  readonly workers: readonly Child[]
  /** The catalogue's names have been looked up once. */
  readonly resolved: Promise<void>
  /** Name servers answer, as far as is known. */
  answered(): boolean
  /** What they count, together, since the gateway's start. */
  traffic(): WorkerCounters
  /** Whether anybody is there to take a redirected connection. */
  serving(): boolean
  /** All known addresses of providers. */
  addresses(all: readonly string[]): void
  /** The devices by which packets leave. */
  uplinks(names: readonly string[]): void
  /** Other rules are in force. */
  rules(rules: RulesInForce): void
  /** The CA's certificates are these: leaves of another may sign from now on. */
  authorities(certificates: readonly string[]): void
  /** Lets what is under way come to its end, for so long at most, while new connections are served. */
  drain(withinMs: number, hurry: AbortSignal): Promise<void>
  stop(): Promise<void>
}

export interface ProxyOptions {
  readonly config: Config
  readonly paths: Layout
  readonly account: Account
  readonly listeners: readonly Listener[]
  readonly log: Log
  readonly leaf: LeafService
  readonly fingerprintKey: Buffer
  /** The CA's certificates, PEM: the canary provider has a leaf of one. */
  readonly authorities: () => readonly string[]
  readonly systemRoots: readonly string[]
  readonly rules: () => RulesInForce
  readonly providerAddresses: () => readonly string[]
  readonly learned: (entries: readonly LearnedAddress[]) => void
  /** Rejects never. */
  readonly owner: (flow: OwnerFlow) => Promise<Agent>
  readonly dialled: (flows: readonly DialledFlow[]) => void
  readonly unrecorded: (count: number, since: number) => void
  readonly changed: () => void
  readonly died: (worker: string, how: string) => void
}

const GRACE_MS = 7000
/** For a worker to say that its time to drain is over. */
const ANSWER_MS = 1000
/** More share the load of one machine's agents no better: the recorder is one process. */
const AUTOMATIC_WORKERS = 2

/** How workers hold answers; not at all where their requests on disk are enough. */
function holdOf(config: Config): HoldSettings | undefined {
  const { acknowledge, maxHoldMs, onFailure } = anchoringOf(config.anchoring)
  return needsHolding(acknowledge) ? { level: acknowledge, maxMs: maxHoldMs, onFailure } : undefined
}

export function startProxies(options: ProxyOptions): Proxies {
  const { config, paths } = options
  const { promise: resolved, resolve } = Promise.withResolvers<void>()
  let answered = true
  let uplinks: string | undefined
  const wanted = config.proxy.workers
  const count = wanted === 'auto' ? Math.min(availableParallelism(), AUTOMATIC_WORKERS) : wanted
  const traffic = new Traffic(() => options.changed())
  /** Workers that were told to drain and have not ended that, nor themselves. */
  const draining = new Map<string, () => void>()
  const workers = Array.from({ length: count }, (_, i) => {
    const name = `proxy-${i + 1}` as const
    return startWorker({
      name,
      account: options.account,
      listeners: options.listeners,
      log: options.log,
      leaf: options.leaf,
      changed: options.changed,
      died: (how) => {
        draining.get(name)?.()
        options.died(name, how)
      },
      drained: () => draining.get(name)?.(),
      learned: options.learned,
      owner: options.owner,
      dialled: options.dialled,
      unrecorded: options.unrecorded,
      traffic,
      resolved(now) {
        answered = now
        resolve()
        options.changed()
      },
      start: () => ({
        rules: options.rules(),
        recorderSocket: paths.recorderSocket,
        fingerprintKey: options.fingerprintKey,
        systemRoots: options.systemRoots,
        // Its provider runs on this machine and has a leaf of our own CA: trusted for this one name only.
        staticHosts: { [CANARY_NAME]: { addresses: [CANARY_ADDRESS], root: options.authorities().join('') } },
        sniffTimeoutMs: config.proxy.sniffTimeoutMs,
        durability: config.recording.durability,
        hold: holdOf(config),
        providerAddresses: options.providerAddresses(),
        resolveCatalogue: i === 0,
      }),
    })
  })
  return {
    workers,
    resolved,
    answered: () => answered,
    traffic: () => traffic.total(),
    serving: () => workers.some((worker) => worker.state().state === 'running'),
    addresses(addresses) {
      for (const worker of workers) worker.send({ type: 'addresses', addresses })
    },
    uplinks(names) {
      if (names.join(' ') === uplinks) return
      uplinks = names.join(' ')
      for (const worker of workers) worker.send({ type: 'network' })
    },
    rules(rules) {
      for (const worker of workers) worker.send({ type: 'rules', rules })
    },
    authorities(certificates) {
      const staticRoots = { [CANARY_NAME]: certificates.join('') }
      for (const worker of workers) worker.send({ type: 'authorities', staticRoots })
    },
    async drain(withinMs, hurry) {
      if (withinMs === 0 || hurry.aborted) return
      const over = workers.map((worker) => {
        const { promise, resolve } = Promise.withResolvers<void>()
        draining.set(worker.state().name, resolve)
        if (!worker.send({ type: 'drain', withinMs })) resolve()
        return promise
      })
      const enough = new Promise<void>((resolve) => {
        hurry.addEventListener('abort', () => resolve())
        setTimeout(resolve, withinMs + ANSWER_MS).unref()
      })
      await Promise.race([Promise.all(over), enough])
      draining.clear()
    },
    async stop() {
      await Promise.all(
        workers.map((worker) => worker.stop((child) => child.send({ type: 'stop' }, () => {}), GRACE_MS)),
      )
    },
  }
}
