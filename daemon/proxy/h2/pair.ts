/**
 * An agent's HTTP/2 connection and one of its own to the provider: never shared, so that no confusion of streams or
 * tables reaches beyond one agent. Frames pass one by one (from-agent.ts, from-provider.ts); flow control is between
 * the two ends, and what one side doesn't read stops the reading from the other.
 */
import type { Socket } from 'node:net'
import type { Outcome } from '../../recorder/protocol.ts'
import type { Bounded } from '../deadlines.ts'
import type { ProxyError } from '../proxy-error.ts'
import type { Intercepted } from '../relay/agent-side.ts'
import type { Governed, Shared } from '../relay/facts.ts'
import { asProxyError, closed, outcomeOf, unreadableAnswer } from '../relay/failure.ts'
import { recordRefusedRequest } from '../relay/refused-request.ts'
import type { Opened } from '../relay/target.ts'
import { PAUSED_BY, type UpstreamConnection, type UpstreamUser } from '../upstream/connection.ts'
import { certificateWanted } from '../upstream/dial.ts'
import { AgentPipe, type AgentUser, PAUSED } from './agent-pipe.ts'
import { AgentWindow } from './agent-window.ts'
import { Allowance } from './allowance.ts'
import type { BothEnds } from './both-ends.ts'
import type { H2Exchange } from './exchange.ts'
import { CODE } from './frame.ts'
import { FrameError } from './frame-error.ts'
import { FromAgent } from './from-agent.ts'
import { FromProvider } from './from-provider.ts'
import { giveUp } from './give-up.ts'
import { Outlet } from './outlet.ts'
import { type Answered, sendOwnAnswer } from './own-answer.ts'
import { deadlineOf, IDLE_MS, LINGER_MS, STALL_MS } from './patience.ts'
import { Receiver } from './receiver.ts'
import { Sender } from './sender.ts'
import { type OnStream, Streams } from './streams.ts'

export class H2Pair implements Intercepted, Bounded, AgentUser, UpstreamUser, BothEnds {
  readonly shared: Shared
  readonly governed: Governed
  readonly streams = new Streams<H2Exchange>()
  readonly window = new AgentWindow()
  readonly outlet = new Outlet()
  readonly allowance = new Allowance(performance.now())
  readonly toAgent = new Sender((bytes) => this.#writeToAgent(bytes))
  readonly toProvider = new Sender((bytes) => this.#writeToProvider(bytes))
  readonly fromAgent: Receiver = new Receiver(new FromAgent(this), true)
  readonly fromProvider: Receiver = new Receiver(new FromProvider(this), false)
  readonly hide: string | undefined
  upstream: UpstreamConnection | undefined
  failure: { readonly outcome: Outcome; readonly error: ProxyError } | undefined
  mismatch: boolean | undefined
  deadline: number
  heard = false
  tunnels = false
  closing = false
  #progress: number
  readonly #agent: AgentPipe
  readonly #closed: (connection: Intercepted) => void
  readonly #waiting = new Set<object>()

  /** @param socket TLS on it; may still be shaking hands  @param opening the connection to the provider */
  constructor(
    shared: Shared,
    socket: Socket,
    governed: Governed,
    opening: Promise<Opened>,
    closed: (connection: Intercepted) => void,
  ) {
    this.shared = shared
    this.governed = governed
    this.#agent = new AgentPipe(socket, this)
    this.#closed = closed
    this.hide = shared.policy.proxy.altSvc === 'strip' ? 'alt-svc' : undefined
    this.#progress = shared.deadlines.now
    this.deadline = shared.deadlines.now + IDLE_MS
    shared.deadlines.add(this)
    opening.then(
      (opened) => this.#opened(opened),
      (error: unknown) => this.#unopened(outcomeOf(error), asProxyError(error)),
    )
  }

  get busy(): boolean {
    return this.#agent.busy
  }

  stop(): void {
    this.leave(CODE.noError)
  }

  #opened({ connection, mismatch }: Opened): void {
    this.mismatch = mismatch
    if (this.#agent.over) {
      connection.destroy()
      return
    }
    if (connection.protocol !== 'h2') {
      // It no longer speaks what it did a moment ago: the agent comes again, and finds that out.
      connection.destroy()
      this.leave(CODE.http11Required)
      return
    }
    if (!connection.usable) {
      connection.destroy()
      this.#unopened('upstream-aborted', this.#goneBecause(connection, undefined))
      return
    }
    this.upstream = connection
    connection.user = this
    connection.resume(PAUSED_BY.start)
    this.#run(this.fromProvider, (receiver) => receiver.resume())
    this.#start()
  }

  #unopened(outcome: Outcome, error: ProxyError): void {
    this.failure = { outcome, error }
    this.#start()
  }

  #start(): void {
    if (this.#agent.over) return
    this.#run(this.fromAgent, (receiver) => receiver.resume())
    this.#agent.resume(PAUSED.start)
    this.#bound()
  }

  agentData(bytes: Buffer): void {
    if (this.fromAgent.held) this.#agent.pause(PAUSED.start)
    this.#run(this.fromAgent, (receiver) => receiver.push(bytes))
    this.#bound()
  }

  upstreamData(bytes: Buffer): void {
    this.#run(this.fromProvider, (receiver) => receiver.push(bytes))
    if (this.fromProvider.held) this.upstream?.pause(PAUSED_BY.window)
    this.#bound()
  }

  progressed(): void {
    this.#progress = this.shared.deadlines.now
  }

  answersGoOn(): void {
    if (!this.shared.holds.settings) return
    for (const exchange of this.streams.all()) exchange.goOn()
  }

  windowOpened(): void {
    if (!this.upstream || !this.fromProvider.held) return
    this.#run(this.fromProvider, (receiver) => receiver.resume())
    if (!this.fromProvider.held) this.upstream?.resume(PAUSED_BY.window)
  }

  #run(receiver: Receiver, step: (receiver: Receiver) => void): void {
    try {
      step(receiver)
    } catch (error) {
      receiver.hold()
      if (receiver === this.fromAgent) this.#agentAtFault(asProxyError(error))
      else this.#providerAtFault(asProxyError(error))
    }
  }

  #agentAtFault(error: ProxyError): void {
    recordRefusedRequest(this.shared, this.governed, error)
    for (const exchange of this.streams.all()) exchange.fail('protocol-error', error)
    this.leave(error instanceof FrameError ? error.h2Code : CODE.internalError)
    this.#close()
  }

  #providerAtFault(error: ProxyError): void {
    this.toProvider.goAway(0, error instanceof FrameError ? error.h2Code : CODE.internalError)
    this.#providerGone('protocol-error', unreadableAnswer(this.governed.name, error))
  }

  #writeToAgent(bytes: Buffer): void {
    if (this.#agent.write(bytes)) return
    this.deadline = this.shared.deadlines.now + STALL_MS
    this.upstream?.pause(PAUSED_BY.agent)
  }

  #writeToProvider(bytes: Buffer): void {
    if (this.upstream && !this.upstream.write(bytes)) this.#agent.pause(PAUSED.provider)
  }

  agentDrained(): void {
    this.progressed()
    this.upstream?.resume(PAUSED_BY.agent)
    this.#bound()
  }

  upstreamDrained(): void {
    this.#agent.resume(PAUSED.provider)
  }

  wait(who: object): void {
    this.#waiting.add(who)
    this.#agent.pause(PAUSED.recorder)
    this.upstream?.pause(PAUSED_BY.recorder)
  }

  proceed(who: object): void {
    if (!this.#waiting.delete(who) || this.#waiting.size > 0) return
    this.#agent.resume(PAUSED.recorder)
    this.upstream?.resume(PAUSED_BY.recorder)
  }

  answer(to: Answered, error: ProxyError): void {
    sendOwnAnswer(this, to, error)
    // Nothing more is wanted of the request (RFC 9113 section 8.1).
    if (!to.requestDone) this.toAgent.reset(to.stream, CODE.noError)
  }

  returned(stream: number, length: number): void {
    if (length > 0) this.toAgent.windowUpdate(stream, length)
    this.discarded(length)
  }

  discarded(length: number): void {
    this.outlet.returned(length)
    if (length > 0) this.toAgent.windowUpdate(0, length)
  }

  over(exchange: OnStream): void {
    this.proceed(exchange)
    this.streams.delete(exchange)
    this.#bound()
    if (this.closing && this.streams.size === 0) this.#close()
  }

  leave(code: number): void {
    if (!this.closing) this.toAgent.goAway(this.streams.last, code)
    this.closesWhenDone()
  }

  closesWhenDone(): void {
    this.closing = true
    if (this.streams.size === 0) this.#close()
  }

  upstreamEnded(): void {
    this.upstreamClosed(undefined)
  }

  upstreamClosed(error: Error | undefined): void {
    if (this.upstream) this.#providerGone('upstream-aborted', this.#goneBecause(this.upstream, error))
  }

  #goneBecause({ wantsCertificate }: UpstreamConnection, error: Error | undefined): ProxyError {
    const { name } = this.governed
    if (wantsCertificate && !this.heard) return certificateWanted(name, error)
    return closed(`${name} closed the connection${error ? `: ${error.message}` : ''}`)
  }

  #providerGone(outcome: Outcome, error: ProxyError): void {
    const { upstream } = this
    if (!upstream) return
    this.failure = { outcome, error }
    for (const exchange of this.streams.all()) exchange.providerGone(outcome, error)
    this.upstream = undefined
    upstream.close()
    this.#agent.resume(PAUSED.provider)
    this.leave(CODE.noError)
  }

  /** The next moment at which patience ends. */
  #bound(): void {
    if (this.#agent.over || this.#agent.full) return
    const { now } = this.shared.deadlines
    const { fromAgent: receiver, streams } = this
    this.deadline = deadlineOf(this.deadline, { now, progress: this.#progress, receiver, streams })
  }

  expire(): void {
    if (this.#agent.over) return void this.#agent.destroy()
    giveUp(this, this.#agent)
    if (this.#agent.full) return void this.#agent.destroy()
    this.leave(CODE.noError)
    this.#close()
  }

  #close(): void {
    if (this.#agent.over) return
    const { deadlines } = this.shared
    // A slow reader has its time for what was written before the last moment begins.
    this.deadline = deadlines.now + STALL_MS
    this.#agent.close(() => {
      this.deadline = deadlines.now + LINGER_MS
    })
    this.#letGo()
  }

  #letGo(): void {
    const { upstream } = this
    this.upstream = undefined
    upstream?.close()
  }

  agentEnded(): void {
    this.#agentGone()
    this.#close()
  }

  #agentGone(): void {
    this.closing = true
    for (const exchange of this.streams.all()) exchange.agentReset(CODE.cancel)
  }

  agentClosed(): void {
    this.shared.deadlines.delete(this)
    this.#agentGone()
    this.#letGo()
    this.#closed(this)
  }
}
