/**
 * A connection that is passed on: to where, and who looks at what is sent on it.
 *
 * Threat model: an agent that was let through for what it showed at first shows something else later: another
 * request on the same connection, a provider's name in a tunnel, a ClientHello after a silence.
 */
import type { Socket } from 'node:net'
import type { Decision } from '../../policies/decide.ts'
import { ProxyError } from './proxy-error.ts'
import { type Question, reasonFor } from './question.ts'
import { type ConnectionFacts, recordLetThrough, recordRefusal, type Shared } from './relay/facts.ts'
import { LOCAL } from './relay/governed-by.ts'
import type { Sniffed } from './sniff/sniff.ts'
import { splice, type Watch } from './splice.ts'
import { Inspector, type Next, type Opinion, type Sight, type Verdict } from './tunnel/inspector.ts'
import { connectTo, reach } from './upstream/reach.ts'

export interface PassageOptions {
  readonly shared: Shared
  readonly question: Question
  readonly facts: ConnectionFacts
  /** A later message is one to intercept; the agent's socket is free again. */
  readonly take: (decision: Decision, sniffed: Sniffed, held: Buffer) => void
}

export class Passage {
  readonly #options: PassageOptions
  #noted = false
  #isTunnel = false

  constructor(options: PassageOptions) {
    this.#options = options
  }

  /**
   * @param socket paused
   * @param seen what was read from it
   * @param sniffed what that is; undefined where nothing was said
   */
  start(socket: Socket, seen: Buffer, decision: Decision, sniffed?: Sniffed): void {
    const { shared, facts } = this.#options
    shared.counters.spliced += 1
    this.#note(decision)
    const watch = needsWatching(sniffed) ? this.#watch(sniffed === undefined) : undefined
    if (decision.pinned && decision.name !== undefined) {
      this.#pinned(socket, decision.name, decision.rule, seen, watch)
      return
    }
    splice(socket, connectTo(facts.originalDestination, shared.dialled), seen, watch)
  }

  /** Let through for its name: to one of the name's own addresses, whatever the agent dialled. */
  async #pinned(
    socket: Socket,
    name: string,
    rule: string,
    seen: Buffer,
    watch: Watch | undefined,
  ): Promise<void> {
    const { shared, facts } = this.#options
    const { address, port } = facts.originalDestination
    try {
      const { addresses } = await shared.directory.route(name, address)
      const remote = (await reach(name, addresses, port, shared.dialled)).socket
      if (socket.destroyed) remote.destroy()
      else splice(socket, remote, seen, watch)
    } catch (error) {
      // An invented name is an attempt; a server that doesn't answer is the network's failure.
      if (error instanceof ProxyError && error.code === 'upstream_unresolved') {
        recordRefusal(shared, { ...facts, name }, rule, `${error.message}; it is taken to no other address`)
      }
      socket.resetAndDestroy()
    }
  }

  #watch(silent: boolean): Watch {
    const inspector = new Inspector((sight, free) => this.#judge(sight, free))
    return {
      inspector,
      cut: (verdict, late) => this.#cut(verdict, silent && late),
      take: ({ decision, sight }, held) => {
        if (decision && sight) this.#options.take(decision, sight, held)
      },
    }
  }

  #judge(sight: Sight, free: boolean): Opinion {
    const decision = this.#options.question.about(sight, sight.within)
    const goOn: Next = sight.protocol === 'http' || decision.action === 'inspect' ? 'look' : 'pass'
    switch (decision.action) {
      case 'refuse':
        return { next: 'cut', decision }
      case 'intercept':
        if (free) return { next: 'take', decision }
        if (!this.#recordsOnly) return { next: 'cut', decision }
        this.#note(decision)
        return { next: goOn, decision }
      case 'inspect':
        if (sight.ambiguous && !this.#recordsOnly) return { next: 'cut', decision }
        this.#countTunnel()
        return { next: goOn, decision }
      case 'splice':
        this.#note(decision)
        return { next: sight.tunnel ? 'pass' : goOn, decision }
    }
  }

  /** The policy refuses nothing. */
  get #recordsOnly(): boolean {
    return this.#options.shared.policy.proxy.tunnel === 'record'
  }

  #countTunnel(): void {
    if (this.#isTunnel) return
    this.#isTunnel = true
    this.#options.shared.counters.tunnels += 1
  }

  #cut({ decision, sight }: Verdict, late: boolean): void {
    if (!decision || !sight) return
    const { shared, facts } = this.#options
    const { within, ambiguous } = sight
    const parts = [
      ambiguous ? 'a request for a tunnel that can be read in two ways' : reasonFor(decision),
      within ? `inside a tunnel to ${within.host}:${within.port}` : '',
      late ? 'it spoke only after the connection had been passed on as silent' : '',
      late || within ? '' : 'on a connection that had been passed on',
    ]
    recordRefusal(shared, { ...facts, name: decision.name }, decision.rule, parts.filter(Boolean).join('; '))
  }

  /** What the policy lets pass and wants to be known: once a connection. */
  #note(decision: Decision): void {
    const { rule, name, provider, flags = [] } = decision
    if (this.#noted || flags.includes(LOCAL) || (provider === undefined && flags.length === 0)) return
    this.#noted = true
    const { shared, facts } = this.#options
    const what = [reasonFor(decision), ...flags].filter(Boolean).join(', ')
    recordLetThrough(shared, { ...facts, name }, rule, `let through, as the policy only records: ${what}`)
  }
}

/** What can show something later: silence, plain HTTP, tunnels. Of TLS and other protocols nothing more is to be seen. */
const needsWatching = (sniffed: Sniffed | undefined): boolean =>
  sniffed === undefined || sniffed.protocol === 'http' || sniffed.protocol === 'socks'
