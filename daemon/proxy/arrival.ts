/**
 * A connection from the kernel: whose, where to, what it is, and so what becomes of it.
 *
 * Threat model: the agent chooses every byte and when to send it. What is read before the decision is bounded in
 * size and time. Silence is let through where the policy says so (server-first protocols), and so are tunnels and
 * plain HTTP to hosts in no catalogue: what is sent on them later is looked at then (passage.ts).
 */
import type { Socket } from 'node:net'
import type { Decision, Seen } from '../../policies/decision.ts'
import type { Policy } from '../../policies/policy.ts'
import type { RuleId } from '../../policies/rule-ids.ts'
import type { Leaves } from './leaves.ts'
import { isOfLink } from './names/addresses.ts'
import { Passage } from './passage.ts'
import { Question, reasonFor } from './question.ts'
import { refuse } from './refuse.ts'
import type { Intercepted } from './relay/agent-side.ts'
import { type ConnectionFacts, recordRefusal, type Shared } from './relay/facts.ts'
import { governedBy } from './relay/governed-by.ts'
import { intercept } from './relay/intercept.ts'
import { isH2Start, type Sniffed, sniff } from './sniff/sniff.ts'

/** A ClientHello or request line that began must be whole within this time. */
const PARTIAL_MS = 30_000

export interface ArrivalOptions {
  readonly shared: Shared
  readonly leaves: Leaves
  readonly decide: (seen: Seen) => Decision
  readonly isProvider: (address: string) => boolean
  readonly isOwn: (address: string) => boolean
  readonly sniffTimeoutMs: number
  /** Called once an intercepted connection stands, and when the connection is over. */
  readonly intercepted: (connection: Intercepted) => void
  readonly closed: (connection?: Intercepted) => void
}

/** HTTP/2 without TLS may wait for the server's settings before it names anybody. */
const H2_MS = 100

const NOTHING = Buffer.alloc(0)

/** The kernel's rules leave these alone: were one to come all the same, it would go out as another user. */
const linkLocal = ({ name }: Policy): Decision => ({
  action: 'refuse',
  rule: `${name}/${'link-local' satisfies RuleId}`,
  reason: 'a link-local address or a metadata service, where this machine’s own rules say who may go',
})

export class Arrival {
  readonly #options: ArrivalOptions
  readonly #socket: Socket
  readonly #facts: ConnectionFacts
  readonly #question: Question
  #seen: Buffer = NOTHING
  #timer: NodeJS.Timeout | undefined
  #waits = false
  readonly #onData = (bytes: Buffer) => this.#data(bytes)
  readonly #onEnd = () => this.#ended()
  readonly #onClose = () => this.#over()

  /** @param socket accepted, paused, with an error listener */
  constructor(options: ArrivalOptions, socket: Socket, facts: ConnectionFacts) {
    this.#options = options
    this.#socket = socket
    this.#facts = facts
    const { decide, isProvider, isOwn, shared } = options
    this.#question = new Question({ policy: shared.policy, decide, isProvider, isOwn }, facts)
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('close', this.#onClose)
    if (isOfLink(facts.originalDestination.address)) {
      this.#refuse(linkLocal(shared.policy))
      return
    }
    this.#timer = setTimeout(() => this.#silent(), options.sniffTimeoutMs)
    socket.resume()
  }

  #over(): void {
    clearTimeout(this.#timer)
    this.#options.closed()
  }

  #data(bytes: Buffer): void {
    if (this.#seen.length === 0) {
      clearTimeout(this.#timer)
      this.#timer = setTimeout(() => this.#stalled(), PARTIAL_MS)
    }
    this.#seen = this.#seen.length === 0 ? bytes : Buffer.concat([this.#seen, bytes])
    const sniffed = sniff(this.#seen)
    if (sniffed !== 'more') this.#decided(sniffed)
    else if (!this.#waits && isH2Start(this.#seen)) this.#waitForNames()
  }

  /** A moment; what is said later is looked at as it passes. */
  #waitForNames(): void {
    this.#waits = true
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#ended(), H2_MS)
  }

  #decided(sniffed: Sniffed): void {
    const decision = this.#question.about(sniffed)
    this.#release()
    if (decision.action === 'intercept') this.#intercept(decision, sniffed, this.#seen)
    else if (decision.action === 'refuse') this.#refuse(decision, sniffed)
    else this.#pass(decision, sniffed)
  }

  /** No more will come: what is there decides. A probe that opens and closes without a word is no attempt. */
  #ended(): void {
    if (this.#seen.length > 0) {
      const sniffed = sniff(this.#seen, true)
      if (sniffed !== 'more') this.#decided(sniffed)
      return
    }
    const decision = this.#question.silent()
    this.#release()
    if (decision.action === 'splice') this.#pass(decision)
    else this.#socket.destroy()
  }

  /** Nothing came: the agent waits for the server to speak, or wants us to think so. */
  #silent(): void {
    const decision = this.#question.silent()
    this.#release()
    if (decision.action === 'splice') this.#pass(decision)
    else this.#refuse(decision)
  }

  /** Began a ClientHello or a request and did not end it. */
  #stalled(): void {
    if (this.#options.isProvider(this.#facts.originalDestination.address)) {
      const decision = this.#question.unfinished(this.#seen[0])
      this.#record(decision, 'its first message did not come to an end')
    }
    this.#socket.destroy()
  }

  #pass(decision: Decision, sniffed?: Sniffed): void {
    const { shared } = this.#options
    new Passage({
      shared,
      question: this.#question,
      facts: this.#facts,
      take: (later, shown, held) => this.#intercept(later, shown, held),
    }).start(this.#socket, this.#seen, decision, sniffed)
  }

  #intercept(decision: Decision, sniffed: Sniffed, read: Buffer): void {
    const atProvider = this.#options.isProvider(this.#facts.originalDestination.address)
    const governed = governedBy(decision, sniffed, this.#facts, atProvider)
    if (!governed) {
      this.#refuse(decision, sniffed)
      return
    }
    const { shared, leaves, closed, intercepted } = this.#options
    this.#socket.off('close', this.#onClose)
    if (read.length > 0) this.#socket.unshift(read)
    intercept(shared, leaves, this.#socket, governed, sniffed, closed).then((connection) => {
      if (connection) intercepted(connection)
    })
  }

  #refuse(decision: Decision, sniffed?: Sniffed): void {
    refuse(this.#socket, this.#record(decision), sniffed)
  }

  /** @returns the reason as it stands in the record */
  #record(decision: Decision, why?: string): string {
    const reason = [reasonFor(decision), why].filter(Boolean).join('; ')
    recordRefusal(this.#options.shared, { ...this.#facts, name: decision.name }, decision.rule, reason)
    return reason
  }

  /** Stops looking; what was read goes back, for whoever takes the socket. */
  #release(): void {
    clearTimeout(this.#timer)
    this.#socket.off('data', this.#onData)
    this.#socket.off('end', this.#onEnd)
    this.#socket.pause()
  }
}
