/**
 * The way of a question: may it be asked, what do the machine's own resolvers say, less ECH, its addresses learned
 * where a provider's name is behind it, and back to the client as it asked. Nothing is cached.
 *
 * Threat model: clients and servers are hostile. What can't be read is refused or dropped; an answer is never longer
 * than its client takes; an answer about a governed name that can't be learned is withheld (SERVFAIL), so that no
 * client knows an address before the fence does.
 */
import type { RulesInForce } from '../../policies/rules.ts'
import { messageOf } from '../base/errors.ts'
import { readAnswer } from '../wire/dns-answer.ts'
import { CLASS_IN, type DnsMessage, TYPE } from '../wire/dns-message.ts'
import { addressedTo, EDE, fit, formatReply, type Query, RCODE, readQuery } from '../wire/dns-query.ts'
import { withoutEch } from '../wire/without-ech.ts'
import type { Transport } from './exchange.ts'
import type { Forwarder } from './forwarder.ts'
import { GovernedNames } from './governed-names.ts'
import { InFlight } from './in-flight.ts'
import type { Learner } from './learner.ts'
import { NamePolicy, type NameRefusal } from './name-policy.ts'
import type { RefusedQuestion } from './sightings.ts'

export interface GuardOptions {
  readonly rules: RulesInForce
  readonly forwarder: Pick<Forwarder, 'ask'>
  readonly learner: Pick<Learner, 'learn'>
  readonly refused: (question: RefusedQuestion) => void
  /** True where a resolver on this machine is asked. */
  readonly asksLocally: () => boolean
  /** For the operator: why questions fail. */
  readonly complain: (what: string) => void
}

export interface Asker {
  readonly address: string
  readonly port: number
}

export interface GuardState {
  readonly questions: number
  readonly refused: number
  /** No server answered, or the answer can't be passed on. */
  readonly failed: number
  /** Turned away at a bound. */
  readonly busy: number
  /** Withheld since the supervisor didn't acknowledge. */
  readonly unlearned: number
  readonly echStripped: number
}

const MAX_TCP_MESSAGE = 0xffff
/** A message that could be a question fits: the longest name, EDNS with cookies and padding (RFC 8467). */
export const MAX_QUERY = 4096
/** What it takes a client to see how the question failed. */
type Outcome = DnsMessage | 'failed' | 'unlearned'

export class Guard {
  readonly #options: GuardOptions
  readonly #governed: GovernedNames
  #names: NamePolicy
  readonly #inFlight = new InFlight<Outcome>()
  readonly #state = { questions: 0, refused: 0, failed: 0, busy: 0, unlearned: 0, echStripped: 0 }

  constructor(options: GuardOptions) {
    this.#options = options
    this.#governed = new GovernedNames(options.rules.catalogue)
    this.#names = new NamePolicy(options.rules, this.#governed)
  }

  /** Other rules are in force. */
  setRules(rules: RulesInForce): void {
    this.#governed.setCatalogue(rules.catalogue)
    this.#names = new NamePolicy(rules, this.#governed)
  }

  state(): GuardState {
    return { ...this.#state }
  }

  /** The answer to what a client sent; `undefined` where it gets none. Never rejects. */
  async answer(bytes: Buffer, client: Asker, transport: Transport): Promise<Buffer | undefined> {
    const query = bytes.length > MAX_QUERY ? undefined : readQuery(bytes)
    if (query === undefined || Buffer.isBuffer(query)) return query
    this.#state.questions += 1
    const { name, type, class: kind } = query.question
    // Zone transfers are many messages, and other classes are about the server itself (RFC 4892).
    if (kind !== CLASS_IN || type === TYPE.AXFR || type === TYPE.IXFR)
      return formatReply(query, RCODE.refused)
    const refusal = this.#names.refuse(name, type, client.address)
    if (refusal) return this.#refuse(query, refusal, client, transport)

    const job = this.#inFlight.join(client.address, keyOf(query, transport), () =>
      this.#resolve(query, transport),
    )
    if (job === undefined) {
      this.#state.busy += 1
      this.#options.complain('too many questions at once; some clients are turned away')
      return formatReply(query, RCODE.servFail)
    }
    const outcome = await job.result
    if (outcome === 'failed' && job.joined && this.#options.asksLocally()) {
      this.#options.complain(
        'a resolver on this machine may be asking the guard what the guard asks it: ' +
          'exempt its account in the policy, or name other servers in gateway.yaml (dns.upstreams)',
      )
    }
    if (outcome === 'failed' || outcome === 'unlearned') {
      const code = outcome === 'failed' ? EDE.networkError : EDE.notReady
      const text = outcome === 'failed' ? 'no name server answered' : 'agent-anchor: not ready for this name'
      return formatReply(query, RCODE.servFail, { code, text })
    }
    return fit(query, addressedTo(query, outcome), transport === 'udp' ? query.limit : MAX_TCP_MESSAGE)
  }

  #refuse(query: Query, { rule, reason, quiet }: NameRefusal, client: Asker, protocol: Transport): Buffer {
    const id = `${this.#options.rules.policy.name}/${rule}`
    this.#state.refused += 1
    if (!quiet) this.#options.refused({ rule: id, reason, protocol, client, name: query.question.name })
    return formatReply(query, RCODE.nxDomain, { code: EDE.blocked, text: `agent-anchor: ${id}` })
  }

  async #resolve(query: Query, transport: Transport): Promise<Outcome> {
    try {
      const message = await this.#options.forwarder.ask(query, transport)
      const bytes = withoutEch(message)
      if (bytes === undefined) {
        this.#options.complain(`an answer about ${query.question.name} has a malformed service binding`)
        this.#state.failed += 1
        return 'failed'
      }
      if (bytes !== message.bytes) this.#state.echStripped += 1
      if (await this.#learn(message)) return { ...message, bytes }
      this.#options.complain(
        `addresses of ${query.question.name} were not acknowledged; the answer is withheld`,
      )
      this.#state.unlearned += 1
      return 'unlearned'
    } catch (error) {
      this.#state.failed += 1
      this.#options.complain(messageOf(error))
      return 'failed'
    }
  }

  async #learn(message: DnsMessage): Promise<boolean> {
    const answer = readAnswer(message)
    const name = answer?.names.map((each) => this.#governed.of(each)).find((each) => each !== undefined)
    if (answer === undefined || name === undefined) return true
    this.#governed.remember(answer.targets, name)
    return answer.entries.length === 0 || this.#options.learner.learn(name, answer.entries)
  }
}

/** Questions with one answer. Case isn't in it: each client gets its own back. */
function keyOf({ question, flags, edns, limit }: Query, transport: Transport): string {
  const extended = edns === undefined ? '-' : edns.dnssecOk ? 'do' : 'edns'
  const size = transport === 'udp' ? limit : ''
  return `${transport} ${question.name} ${question.type} ${flags} ${extended} ${size}`
}
