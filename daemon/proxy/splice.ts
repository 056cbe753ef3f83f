/**
 * Passes bytes both ways between an agent and a server, as they are: half-closes, resets and backpressure included.
 * Nothing is recorded. Where an inspector is given, what the agent sends goes past it first; what the server sends
 * never waits.
 */
import type { Socket } from 'node:net'
import type { Inspector, Verdict } from './tunnel/inspector.ts'

export interface Watch {
  readonly inspector: Inspector
  /** The connection was ended for what showed on it. @param late the server had already spoken */
  readonly cut: (verdict: Verdict, late: boolean) => void
  /** The connection's next message is one to intercept: the agent's socket is free, `held` is what was read. */
  readonly take: (verdict: Verdict, held: Buffer) => void
}

/** What the agent has begun to say is held back so long; then it goes out, and its end is still looked at first. */
const HOLD_MS = 250

/**
 * Couples the two until both are closed.
 * @param agent paused
 * @param remote connected or about to be
 * @param first bytes that were already read from the agent
 */
export function splice(agent: Socket, remote: Socket, first: Buffer, watch?: Watch): void {
  if (watch) new Inspected(agent, remote, watch).start(first)
  else plain(agent, remote, first)
}

function plain(agent: Socket, remote: Socket, first: Buffer): void {
  if (first.length > 0) remote.write(first)
  couple(remote, agent)
  forward(agent, remote)
  forward(remote, agent)
  if (agent.readableEnded) remote.end()
  agent.resume()
}

/** Data, backpressure and half-close from one to the other. @returns how to stop it */
function forward(from: Socket, to: Socket): () => void {
  const data = (bytes: Buffer) => {
    if (!to.write(bytes)) from.pause()
  }
  const drain = () => from.resume()
  const end = () => to.end()
  from.on('data', data)
  to.on('drain', drain)
  from.on('end', end)
  return () => {
    from.off('data', data)
    to.off('drain', drain)
    from.off('end', end)
  }
}

/** One side's breaking breaks the other in the same way. @returns how to stop it */
function couple(a: Socket, b: Socket): () => void {
  const undo: (() => void)[] = []
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    const error = () => {
      if (!other.destroyed) other.resetAndDestroy()
    }
    const close = () => {
      if (!other.destroyed && !one.readableEnded) other.destroySoon()
    }
    one.on('error', error)
    one.on('close', close)
    undo.push(() => {
      one.off('error', error)
      one.off('close', close)
    })
  }
  return () => {
    for (const each of undo) each()
  }
}

class Inspected {
  readonly #agent: Socket
  readonly #remote: Socket
  readonly #watch: Watch
  readonly #undo: (() => void)[]
  #timer: NodeJS.Timeout | undefined
  /** The server has spoken: at all; since something was last sent to it. */
  #heard = false
  #answered = false
  #sent = false
  readonly #onData = (bytes: Buffer) => this.#act(this.#watch.inspector.take(bytes, this.#clean))
  readonly #onDrain = () => void this.#agent.resume()
  readonly #onEnd = () => this.#ended()

  constructor(agent: Socket, remote: Socket, watch: Watch) {
    this.#agent = agent
    this.#remote = remote
    this.#watch = watch
    this.#undo = [couple(remote, agent), forward(remote, agent)]
    remote.on('data', () => {
      this.#heard = true
      this.#answered = true
    })
    remote.on('drain', this.#onDrain)
    agent.on('data', this.#onData)
    agent.on('end', this.#onEnd)
    agent.once('close', () => clearTimeout(this.#timer))
  }

  start(first: Buffer): void {
    const { inspector } = this.#watch
    if (first.length > 0 && !this.#act(inspector.take(first, this.#clean))) return
    if (this.#agent.readableEnded) this.#ended()
    this.#agent.resume()
  }

  /** Nothing has been said on it by either side, or the last thing said was an answer. */
  get #clean(): boolean {
    return this.#sent ? this.#answered : !this.#heard
  }

  #ended(): void {
    if (this.#act(this.#watch.inspector.ended())) this.#remote.end()
  }

  /** @returns false where that was the end */
  #act(verdict: Verdict): boolean {
    clearTimeout(this.#timer)
    if (verdict.next === 'cut' || verdict.next === 'take') {
      this.#release()
      if (verdict.next === 'cut') this.#cut(verdict)
      else this.#take(verdict)
      return false
    }
    let room = true
    for (const bytes of verdict.forward) if (bytes.length > 0) room = this.#send(bytes)
    if (!room) this.#agent.pause()
    if (verdict.next === 'pass') this.#passOn()
    else if (this.#watch.inspector.holds) this.#timer = setTimeout(() => this.#stalled(), HOLD_MS)
    return true
  }

  #send(bytes: Buffer): boolean {
    this.#sent = true
    this.#answered = false
    return this.#remote.write(bytes)
  }

  #stalled(): void {
    if (!this.#agent.destroyed && !this.#remote.destroyed) this.#act(this.#watch.inspector.stalled())
  }

  #passOn(): void {
    this.#stopReading()
    forward(this.#agent, this.#remote)
  }

  #cut(verdict: Verdict): void {
    this.#watch.cut(verdict, this.#heard)
    this.#agent.resetAndDestroy()
    this.#remote.resetAndDestroy()
  }

  #take(verdict: Verdict): void {
    this.#agent.pause()
    this.#remote.on('error', () => {})
    this.#remote.destroySoon()
    this.#watch.take(verdict, this.#watch.inspector.held)
  }

  #stopReading(): void {
    this.#agent.off('data', this.#onData)
    this.#agent.off('end', this.#onEnd)
    this.#remote.off('drain', this.#onDrain)
  }

  /** Uncouples the two. */
  #release(): void {
    this.#stopReading()
    for (const each of this.#undo) each()
    this.#remote.on('error', () => {})
  }
}
