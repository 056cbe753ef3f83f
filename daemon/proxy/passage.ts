/**
 * A connection that is passed on: to where, and who looks at what is sent on it.
 *
 * Threat model: an agent that was let through for what it showed at first shows something else later: another
 * request on the same connection, a provider's name in a tunnel, a ClientHello after a silence.
 */
import type { Socket } from 'node:net'
import type { Decision } from '../../policies/decision.ts'
import { type Question, reasonFor } from './question.ts'
import { refuse } from './refuse.ts'
import { type ConnectionFacts, recordLetThrough, recordRefusal, type Shared } from './relay/facts.ts'
import { LOCAL } from './relay/governed-by.ts'
import type { Sniffed } from './sniff/sniff.ts'
import { splice, type Watch } from './splice.ts'
import { Inspector, type Next, type Opinion, type Sight, type Verdict } from './tunnel/inspector.ts'
import { connectTo } from './upstream/reach.ts'
import { admit } from './vouching/admission.ts'
import { type Claim, claimOf } from './vouching/claim.ts'
import { findWay, unvouched } from './way.ts'

/** Flag of a name that the server at a provider's address doesn't vouch for. */
const UNVOUCHED = 'unvouched-name'

export interface PassageOptions {
  readonly shared: Shared
  readonly question: Question
  readonly facts: ConnectionFacts
  /** A later message is one to intercept; the agent's socket is free again. */
  readonly take: (decision: Decision, sniffed: Sniffed, held: Buffer) => void
}

export class Passage {
  readonly #options: PassageOptions
  #claim: Claim | undefined
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
    const { shared, facts, question } = this.#options
    const { originalDestination } = facts
    const claim = claimOf(decision, sniffed, facts)
    const atProvider = question.isProvider(originalDestination.address)
    if (atProvider || decision.pinned) this.#claim = claim
    const refuses = shared.policy.proxy.unvouchedName === 'refuse'
    if (decision.pinned || (claim && atProvider && refuses)) {
      void this.#led(socket, seen, decision, sniffed, refuses ? claim : undefined)
      return
    }
    if (claim && atProvider) void this.#observe(claim, originalDestination.address)
    this.#couple(socket, connectTo(originalDestination, shared.dialled), seen, decision, sniffed)
  }

  /** To one of the name's own addresses, whatever the agent dialled; and to a provider's only if that knows the name. */
  async #led(
    socket: Socket,
    seen: Buffer,
    decision: Decision,
    sniffed: Sniffed | undefined,
    claim: Claim | undefined,
  ): Promise<void> {
    const { shared, facts, question, take } = this.#options
    const way = await findWay(shared, (address) => question.isProvider(address), facts, decision, claim)
    if ('go' in way) {
      if (socket.destroyed) way.go.destroy()
      else this.#couple(socket, way.go, seen, decision, sniffed)
    } else if ('failed' in way) {
      socket.resetAndDestroy()
    } else if (way.instead.action === 'intercept' && sniffed) {
      if (!socket.destroyed) take(way.instead, sniffed, seen)
    } else {
      const { rule, name } = way.instead
      const reason = reasonFor(way.instead)
      recordRefusal(shared, { ...facts, name }, rule, reason)
      refuse(socket, reason, sniffed)
    }
  }

  #couple(socket: Socket, remote: Socket, seen: Buffer, decision: Decision, sniffed?: Sniffed): void {
    this.#options.shared.counters.spliced += 1
    this.#note(decision)
    splice(socket, remote, seen, needsWatching(sniffed) ? this.#watch(sniffed === undefined) : undefined)
  }

  /** Under a policy that only records, what would have been refused. */
  async #observe(claim: Claim, address: string): Promise<void> {
    const { shared, question } = this.#options
    const found = await admit(shared.vouching, (one) => question.isProvider(one), [address], claim)
    if (found.outcome !== 'go')
      this.#note({ ...unvouched(shared.policy, claim, found.why), flags: [UNVOUCHED] })
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
        if (this.#strays(sight)) return this.#stray(sight)
        this.#note(decision)
        return { next: sight.tunnel ? 'pass' : goOn, decision }
    }
  }

  /** A later request on the connection to a provider's address gives another name than the one vouched for. */
  #strays({ names, within }: Sight): boolean {
    const claim = this.#claim
    return claim !== undefined && !within && names.some((name) => name !== claim.name)
  }

  #stray({ names }: Sight): Opinion {
    const { policy } = this.#options.shared
    const name = names.find((one) => one !== this.#claim?.name) as string
    const decision = unvouched(policy, { name }, `the connection was opened to ${this.#claim?.name}`)
    if (policy.proxy.unvouchedName === 'refuse') return { next: 'cut', decision }
    this.#note({ ...decision, flags: [UNVOUCHED] })
    return { next: 'look', decision }
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
  sniffed === undefined ||
  sniffed.protocol === 'http' ||
  sniffed.protocol === 'socks' ||
  sniffed.unfinished === true
