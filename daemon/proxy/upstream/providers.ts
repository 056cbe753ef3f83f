/** Connections to providers for one worker: pooled where there are idle ones, dialled where not. */
import type { Deadlines } from '../deadlines.ts'
import type { Route } from '../names/directory.ts'
import type { Protocol, UpstreamConnection } from './connection.ts'
import { dial } from './dial.ts'
import { UpstreamPool } from './pool.ts'
import { Protocols } from './protocols.ts'
import type { Report } from './reach.ts'
import type { UpstreamTrust } from './trust.ts'

export interface Target {
  readonly name: string
  readonly port: number
  readonly tls: boolean
  /** Undefined where the kernel no longer knew whose socket it was: these share nothing, not even among themselves. */
  readonly uid: number | undefined
  readonly client: string
  /** Where the agent meant to go, if that is where it is taken whatever the name. */
  readonly address?: string
}

/** TLS sessions kept, one a name; a ticket saves a round trip's worth of certificates. */
const MAX_SESSIONS = 256

export class Providers {
  readonly #pool: UpstreamPool
  readonly #trust: UpstreamTrust
  readonly #report: Report
  readonly #protocols = new Protocols()
  readonly #sessions = new Map<string, Buffer>()

  /** @param report told of each connection */
  constructor(deadlines: Deadlines, trust: UpstreamTrust, report: Report) {
    this.#report = report
    this.#pool = new UpstreamPool(deadlines)
    this.#trust = trust
  }

  get idle(): number {
    return this.#pool.size
  }

  /** Connections with equal keys may serve each other's exchanges. */
  static key(target: Target): string {
    const agent = target.uid === undefined ? `client ${target.client}` : `uid ${target.uid}`
    const at = target.address === undefined ? '' : ` at ${target.address}`
    return `${target.tls ? 'tls' : 'tcp'} ${target.name}:${target.port}${at} ${agent}`
  }

  /** Is there an idle connection? */
  has(key: string): boolean {
    return this.#pool.has(key)
  }

  take(key: string): UpstreamConnection | undefined {
    return this.#pool.take(key)
  }

  release(key: string, connection: UpstreamConnection, idleMs?: number): void {
    this.#pool.release(key, connection, idleMs)
  }

  /** What the provider chose when it was last offered these; undefined where that isn't known. */
  protocolOf(target: Target, offered: readonly Protocol[]): Protocol | undefined {
    return this.#protocols.get(target, offered)
  }

  /** @throws ProxyError upstream_* */
  async dial(
    target: Target,
    route: Route,
    protocols: readonly Protocol[] = ['http/1.1'],
  ): Promise<UpstreamConnection> {
    const { name, port } = target
    const connection = await dial({
      name,
      port,
      route,
      protocols,
      report: this.#report,
      tls: target.tls
        ? { context: this.#trust.contextFor(name), session: this.#sessions.get(name) }
        : undefined,
      onSession: (session) => {
        this.#sessions.delete(name)
        this.#sessions.set(name, session)
        if (this.#sessions.size > MAX_SESSIONS)
          this.#sessions.delete(this.#sessions.keys().next().value as string)
      },
    })
    this.#protocols.set(target, protocols, connection.protocol)
    return connection
  }

  stop(): void {
    this.#pool.stop()
  }
}
