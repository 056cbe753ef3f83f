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
  /** What they count, together, since the gateway's start. */
  traffic(): WorkerCounters
  /** Whether anybody is there to take a redirected connection. */
  serving(): boolean
  /** All known addresses of providers. */
  addresses(all: readonly string[]): void
  /** Other rules are in force. */
  rules(rules: RulesInForce): void
  /** The CA's certificates are these: leaves of another may sign from now on. */
  authorities(certificates: readonly string[]): void
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
  const wanted = config.proxy.workers
  const count = wanted === 'auto' ? Math.min(availableParallelism(), AUTOMATIC_WORKERS) : wanted
  const traffic = new Traffic(() => options.changed())
  const workers = Array.from({ length: count }, (_, i) => {
    const name = `proxy-${i + 1}`
    return startWorker({
      name,
      account: options.account,
      listeners: options.listeners,
      log: options.log,
      leaf: options.leaf,
      changed: options.changed,
      died: (how) => options.died(name, how),
      learned: options.learned,
      owner: options.owner,
      dialled: options.dialled,
      unrecorded: options.unrecorded,
      traffic,
      resolved: resolve,
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
    traffic: () => traffic.total(),
    serving: () => workers.some((worker) => worker.state().state === 'running'),
    addresses(addresses) {
      for (const worker of workers) worker.send({ type: 'addresses', addresses })
    },
    rules(rules) {
      for (const worker of workers) worker.send({ type: 'rules', rules })
    },
    authorities(certificates) {
      const staticRoots = { [CANARY_NAME]: certificates.join('') }
      for (const worker of workers) worker.send({ type: 'authorities', staticRoots })
    },
    async stop() {
      await Promise.all(
        workers.map((worker) => worker.stop((child) => child.send({ type: 'stop' }, () => {}), GRACE_MS)),
      )
    },
  }
}
