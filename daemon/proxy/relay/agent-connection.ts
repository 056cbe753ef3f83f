/**
 * An agent's intercepted connection: HTTP/1.1 requests one after the other, pipelined ones in order, one at a
 * time. What follows a request in the same read waits until that one is answered.
 */

import type { Socket } from 'node:net'
import type { Bounded } from '../deadlines.ts'
import { answerTo } from '../http/answer.ts'
import { HeadReader } from '../http/head.ts'
import type { Route } from '../names/directory.ts'
import { Pauses } from '../pauses.ts'
import type { ProxyError } from '../proxy-error.ts'
import type { UpstreamConnection } from '../upstream/connection.ts'
import { Providers, type Target } from '../upstream/providers.ts'
import { AGENT_PAUSED_BY, type AgentSide, type Intercepted, waitsFor } from './agent-side.ts'
import { Exchange } from './exchange.ts'
import type { Governed, Shared } from './facts.ts'
import { asProxyError } from './failure.ts'
import { recordRefusedRequest } from './refused-request.ts'
import { headTimeout } from './stalled.ts'
import { type Opened, routeOf, targetOf } from './target.ts'

/** Between two requests; providers close idle connections after one to ten minutes. */
const IDLE_MS = 300_000
/** For a request's whole head (slow-loris). */
const HEAD_MS = 30_000
/**
 * Without a byte of a request's body, with an agent that takes nothing of its answer, or without a byte of the answer where
 * the agent may be gone: one that ended looks like one that only sends no more, until it is written to.
 */
const STALL_MS = 300_000
/** After our last byte, for the agent to take it: closing at once with bytes unread would reset the answer away. */
const LINGER_MS = 2000
const NOTHING = Buffer.alloc(0)

export class AgentConnection implements AgentSide, Bounded, Intercepted {
  readonly governed: Governed
  readonly key: string
  mismatch: boolean | undefined
  deadline: number
  readonly #shared: Shared
  readonly #socket: Socket
  readonly #under: Socket
  readonly #target: Target
  readonly #closed: (connection: Intercepted) => void
  readonly #reader = new HeadReader()
  #exchange: Exchange | undefined
  /** Read ahead of the exchange under way. */
  #rest: Buffer | undefined
  /** A connection opened while the agent was still shaking hands. */
  #first: Promise<UpstreamConnection> | undefined
  readonly #pauses: Pauses
  #ended = false
  #lingering = false
  #stopping = false

  /**
   * @param socket TLS already on it, if any; may still be shaking hands
   * @param under the same without TLS
   * @param opening the connection for its first exchange, opened to see what the provider speaks
   */
  constructor(
    shared: Shared,
    socket: Socket,
    under: Socket,
    governed: Governed,
    closed: (connection: Intercepted) => void,
    opening?: Promise<Opened>,
  ) {
    this.#shared = shared
    this.#socket = socket
    this.#under = under
    this.#pauses = new Pauses(socket)
    this.governed = governed
    this.#closed = closed
    this.#target = targetOf(governed)
    this.key = Providers.key(this.#target)
    this.deadline = shared.deadlines.now + IDLE_MS
    shared.deadlines.add(this)
    socket.on('data', (bytes: Buffer) => this.#data(bytes))
    socket.on('drain', () => this.#drained())
    socket.on('end', () => this.#agentEnded())
    socket.on('error', () => {})
    socket.on('close', () => this.#agentClosed())
    this.#warm(opening)
  }

  /** True while something is still to be done or sent on it. */
  get busy(): boolean {
    return !this.#lingering || this.#socket.writableLength > 0
  }

  /** Finishes the exchange under way, then closes. */
  stop(): void {
    this.#stopping = true
    if (!this.#exchange && !this.#reader.pending) this.#close()
  }

  /** Opens the first connection to the provider beside the agent's handshake, if none is idle or was opened before. */
  #warm(opening: Promise<Opened> | undefined): void {
    const idle = opening === undefined && this.#shared.providers.has(this.key)
    const first = idle ? this.#route().then(() => undefined) : this.#firstOf(opening)
    const settled = (connection: UpstreamConnection | undefined) => {
      if (connection && this.#first === first) this.#shared.providers.release(this.key, connection)
      if (this.#first === first) this.#first = undefined
    }
    // A failure is the first exchange's to report: one that comes later dials again. One that the agent waited for
    // already is reported however late its first request comes.
    first.then(settled, () => {
      if (!opening) settled(undefined)
    })
    if (!idle) this.#first = first as Promise<UpstreamConnection>
  }

  async #firstOf(opening: Promise<Opened> | undefined): Promise<UpstreamConnection> {
    if (!opening) return this.#dialNew()
    await this.#route()
    return (await opening).connection
  }

  async #route(): Promise<Route> {
    const route = await routeOf(this.#shared, this.governed)
    this.mismatch = route.mismatch
    return route
  }

  async #dialNew(): Promise<UpstreamConnection> {
    return this.#shared.providers.dial(this.#target, await this.#route())
  }

  dial(): Promise<UpstreamConnection> {
    const first = this.#first
    this.#first = undefined
    return first ?? this.#dialNew()
  }

  #data(bytes: Buffer): void {
    if (this.#lingering) return
    try {
      this.#take(bytes)
    } catch (error) {
      this.#refuse(asProxyError(error))
    }
  }

  #take(bytes: Buffer): void {
    let at = 0
    if (this.#exchange) {
      at = this.#exchange.more(bytes)
    } else {
      const started = this.#reader.pending
      const found = this.#reader.read(bytes, 0)
      if (!found) {
        if (!started) this.deadline = this.#shared.deadlines.now + HEAD_MS
        return
      }
      const exchange = new Exchange(this.#shared, this, found.head)
      this.#exchange = exchange
      this.deadline = this.#shared.deadlines.now + STALL_MS
      at = exchange.begin(found.head, bytes, found.next)
    }
    if (this.#lingering || !this.#exchange) return
    // What still comes, in a tunnel, is no sign that it reads.
    if (!this.#exchange.requestDone) this.deadline = this.#shared.deadlines.now + STALL_MS
    else this.#waitForProvider()
    if (at < bytes.length) this.#putBack(bytes.subarray(at))
    // It may have been answered before it was whole.
    this.#exchange.lookComplete()
  }

  #putBack(bytes: Buffer): void {
    this.#rest = this.#rest ? Buffer.concat([this.#rest, bytes]) : bytes
    this.pause(AGENT_PAUSED_BY.pipeline)
    this.#waitForProvider()
  }

  #takeRest(): void {
    const rest = this.#rest
    this.#rest = undefined
    this.resume(AGENT_PAUSED_BY.pipeline)
    if (rest) this.#data(rest)
  }

  /** A request that isn't forwarded: evidence, and an answer that says why. */
  #refuse(error: ProxyError): void {
    if (this.#exchange) {
      this.#exchange.reject(error)
      return
    }
    recordRefusedRequest(this.#shared, this.governed, error)
    this.answer(error)
  }

  write(bytes: Buffer): boolean {
    const room = this.#socket.write(bytes)
    if (!room) this.deadline = this.#shared.deadlines.now + STALL_MS
    else if (this.#mayBeGone) this.#waitForProvider()
    return room
  }

  #drained(): void {
    this.#waitForProvider()
    this.#exchange?.agentDrained()
  }

  pause(reason: number): void {
    this.#pauses.pause(reason)
  }

  resume(reason: number): void {
    this.#pauses.resume(reason)
  }

  finished(persistent: boolean): void {
    this.#exchange = undefined
    if (!persistent || this.#stopping || this.#ended) {
      this.#close()
      return
    }
    this.deadline = this.#shared.deadlines.now + IDLE_MS
    if (this.#rest) this.#takeRest()
  }

  answer(error: ProxyError): void {
    const method = this.#exchange?.request.method
    this.#exchange = undefined
    if (this.#socket.writable) this.#socket.write(answerTo(error, method))
    this.#close()
  }

  /** It has ended its side, or an end would not show because nothing is read. */
  get #mayBeGone(): boolean {
    return this.#ended || this.#rest !== undefined
  }

  #waitForProvider(): void {
    if (!this.#exchange?.requestDone || this.#socket.writableNeedDrain) return
    this.deadline = this.#mayBeGone ? this.#shared.deadlines.now + STALL_MS : Number.POSITIVE_INFINITY
  }

  upgraded(): void {
    this.#waitForProvider()
    if (this.#rest) this.#takeRest()
  }

  end(): void {
    this.#socket.end()
  }

  /** Cuts the connection, after what was already written: without close_notify, so that it can't pass for an end. */
  destroy(): void {
    this.#cut(() => this.#socket.destroy())
  }

  reset(): void {
    this.#cut(() => this.#under.resetAndDestroy())
  }

  #cut(close: () => void): void {
    this.#lingering = true
    this.deadline = this.#shared.deadlines.now + LINGER_MS
    if (this.#socket.writableLength === 0) close()
    else this.#socket.write(NOTHING, close)
  }

  expire(): void {
    if (this.#lingering) return void this.#socket.destroy()
    if (this.#exchange) {
      this.#exchange.expire({ mayBeGone: this.#mayBeGone, waitsFor: waitsFor(this.#pauses.reasons) })
      return
    }
    if (this.#reader.pending) {
      this.#refuse(headTimeout())
      return
    }
    this.destroy()
  }

  /** Sends the end after what was written, reads on without looking until the agent closes. */
  #close(): void {
    if (this.#lingering) return
    this.#lingering = true
    this.#rest = undefined
    // A slow reader has its time for what was written before the last moment begins.
    this.deadline = this.#shared.deadlines.now + STALL_MS
    this.#socket.end(() => {
      this.deadline = this.#shared.deadlines.now + LINGER_MS
    })
    this.#pauses.forget()
    if (this.#ended) this.#socket.destroySoon()
  }

  #agentEnded(): void {
    this.#ended = true
    this.#waitForProvider()
    if (this.#lingering) this.#socket.destroySoon()
    else if (this.#exchange) this.#exchange.agentEnded()
    else this.#close()
  }

  #agentClosed(): void {
    this.#shared.deadlines.delete(this)
    this.#lingering = true
    this.#exchange?.agentClosed()
    this.#exchange = undefined
    this.#closed(this)
  }
}
