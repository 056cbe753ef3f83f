/**
 * Idle connections to providers, by (name, port, agent): one agent's bytes never follow another's on a
 * connection, so that even a framing confusion stays within one agent.
 */
import type { Bounded, Deadlines } from '../deadlines.ts'
import type { UpstreamConnection, UpstreamUser } from './connection.ts'

export interface PoolLimits {
  /** How long a connection may be idle unless the provider says less, ms. Load balancers give up after 60 s. */
  readonly idleMs: number
  readonly perKey: number
  readonly total: number
}

const LIMITS: PoolLimits = { idleMs: 30_000, perKey: 128, total: 1024 }
/** A provider's own limit is cut by this much: its clock runs from before the answer reached us. */
const MARGIN_MS = 1000

export class UpstreamPool {
  readonly #deadlines: Deadlines
  readonly #limits: PoolLimits
  readonly #idle = new Map<string, Idle[]>()
  /** All of them, least recently used first. */
  readonly #all = new Set<Idle>()

  constructor(deadlines: Deadlines, limits: PoolLimits = LIMITS) {
    this.#deadlines = deadlines
    this.#limits = limits
  }

  get size(): number {
    return this.#all.size
  }

  has(key: string): boolean {
    return this.#idle.has(key)
  }

  /** The most recently used idle connection, if there is one that still stands. */
  take(key: string): UpstreamConnection | undefined {
    const idle = this.#idle.get(key)
    while (idle && idle.length > 0) {
      const { connection } = this.remove(idle[idle.length - 1] as Idle)
      if (connection.usable) return connection
      connection.destroy()
    }
    return undefined
  }

  /** Takes a connection whose last exchange is wholly over. @param idleMs the provider's own limit */
  release(key: string, connection: UpstreamConnection, idleMs = this.#limits.idleMs): void {
    const lifetime = Math.min(idleMs - MARGIN_MS, this.#limits.idleMs)
    const idle = this.#idle.get(key) ?? []
    if (lifetime <= 0 || !connection.usable || idle.length >= this.#limits.perKey) {
      connection.destroy()
      return
    }
    if (this.#all.size >= this.#limits.total) {
      const oldest = this.#all.values().next().value
      if (oldest) this.remove(oldest).connection.destroy()
    }
    connection.reset()
    const entry = new Idle(this, key, connection, performance.now() + lifetime)
    connection.user = entry
    idle.push(entry)
    this.#idle.set(key, idle)
    this.#all.add(entry)
    this.#deadlines.add(entry)
  }

  remove(entry: Idle): Idle {
    if (!this.#all.delete(entry)) return entry
    this.#deadlines.delete(entry)
    const idle = this.#idle.get(entry.key) ?? []
    const at = idle.lastIndexOf(entry)
    if (at >= 0) idle.splice(at, 1)
    if (idle.length === 0) this.#idle.delete(entry.key)
    entry.connection.user = undefined
    return entry
  }

  stop(): void {
    for (const entry of [...this.#all]) this.remove(entry).connection.destroy()
  }
}

/** An idle connection: anything that happens on it ends it. */
class Idle implements UpstreamUser, Bounded {
  readonly #pool: UpstreamPool
  readonly key: string
  readonly connection: UpstreamConnection
  deadline: number

  constructor(pool: UpstreamPool, key: string, connection: UpstreamConnection, deadline: number) {
    this.#pool = pool
    this.key = key
    this.connection = connection
    this.deadline = deadline
  }

  expire(): void {
    this.#pool.remove(this).connection.destroy()
  }

  upstreamData(): void {
    this.expire()
  }

  upstreamEnded(): void {
    this.expire()
  }

  upstreamClosed(): void {
    this.expire()
  }

  upstreamDrained(): void {}
}
