/**
 * The connection that an exchange goes out on: an idle one or a new one, another where the first was gone before
 * anything can have been done with the request, and back to the pool where it is as good as before.
 */
import type { UpstreamConnection, UpstreamUser } from '../upstream/connection.ts'
import type { AgentSide } from './agent-side.ts'
import type { Shared } from './facts.ts'
import type { Outgoing } from './outgoing.ts'

export interface Supplied extends UpstreamUser {
  /** There is a connection: `outgoing` has it. */
  supplied(): void
  /** There is none, or it was gone already. */
  unsupplied(error: unknown): void
}

export class Supply {
  readonly #shared: Shared
  readonly #agent: AgentSide
  readonly #outgoing: Outgoing
  readonly #user: Supplied
  #retried = false
  #over = false

  constructor(shared: Shared, agent: AgentSide, outgoing: Outgoing, user: Supplied) {
    this.#shared = shared
    this.#agent = agent
    this.#outgoing = outgoing
    this.#user = user
  }

  start(): void {
    const idle = this.#shared.providers.take(this.#agent.key)
    if (idle) this.#attach(idle)
    else this.#dial()
  }

  #dial(): void {
    this.#agent.dial().then(
      (connection) => this.#attach(connection),
      (error: unknown) => this.#user.unsupplied(error),
    )
  }

  #attach(connection: UpstreamConnection): void {
    if (this.#over) {
      this.#shared.providers.release(this.#agent.key, connection)
      return
    }
    this.#outgoing.attach(connection)
    connection.user = this.#user
    if (connection.usable) this.#user.supplied()
    else this.#user.upstreamClosed(undefined)
  }

  /** Once, where nothing can have been done with the request. @returns false where it can't be tried again */
  retry(): boolean {
    const { upstream, replayable } = this.#outgoing
    const unsent = upstream?.sent === 0
    if (this.#retried || !(unsent || (upstream?.reused === true && replayable))) return false
    this.#retried = true
    upstream?.destroy()
    this.#outgoing.detach()
    this.#dial()
    return true
  }

  /** Drops what waits. @returns the connection, which must be released, closed or given back */
  end(): UpstreamConnection | undefined {
    this.#over = true
    return this.#outgoing.end()
  }

  /** A connection whose exchange is wholly over. @param seconds that the provider keeps it for */
  release(connection: UpstreamConnection, seconds: number | undefined): void {
    const limit = seconds === undefined ? undefined : seconds * 1000
    this.#shared.providers.release(this.#agent.key, connection, limit)
  }

  /** A connection that nothing was sent on is as good as new; any other is in the middle of something. */
  giveBack(connection: UpstreamConnection | undefined, heard: boolean): void {
    if (!connection) return
    if (connection.sent === 0 && !heard) this.#shared.providers.release(this.#agent.key, connection)
    else connection.destroy()
  }
}
