/** What a connection shows, put to the policy. */
import { isIP } from 'node:net'
import type { Decision, Seen } from '../../policies/decision.ts'
import type { Policy } from '../../policies/policy.ts'
import type { RuleId } from '../../policies/rule-ids.ts'
import { canonicalAddress } from './names/addresses.ts'
import type { ConnectionFacts } from './relay/facts.ts'
import type { Sniffed } from './sniff/sniff.ts'
import type { TunnelTarget } from './sniff/socks.ts'

export interface Asked {
  readonly policy: Policy
  readonly decide: (seen: Seen) => Decision
  /** Is it a known address of a provider? */
  readonly isProvider: (address: string) => boolean
  /** Is it an address of this machine's? */
  readonly isOwn: (address: string) => boolean
}

export class Question {
  readonly #asked: Asked
  readonly #facts: ConnectionFacts

  constructor(asked: Asked, facts: ConnectionFacts) {
    this.#asked = asked
    this.#facts = facts
  }

  /** The strictest decision among the names that a message gives. @param within the tunnel it came in */
  about(sniffed: Sniffed, within?: TunnelTarget): Decision {
    const { protocol, names, ech, request, tunnel, blind, oversized } = sniffed
    const base = this.#base(protocol, within)
    const seen = {
      ...base,
      // A name beyond what is read of a ClientHello is hidden on purpose: as if it went to a provider.
      destinationIsProvider: base.destinationIsProvider || (oversized === true && names.length === 0),
      // What is not read of it may hold a name as well.
      ech: ech || oversized === true,
      ...(request ?? {}),
      ...(tunnel ? { tunnelTarget: tunnel.host } : {}),
      ...(blind ? { tunnelBlind: blind } : {}),
    }
    if (names.length < 2 && !sniffed.doubtful) return this.#tunnel(sniffed, this.#one(seen, names[0]))
    const taken = sniffed.doubtful ? [...names, undefined] : names
    const decisions = taken.map((name) => this.#one(seen, name))
    const by = (action: Decision['action']) => decisions.find((decision) => decision.action === action)
    const strictest = by('refuse') ?? by('intercept') ?? by('inspect')
    return this.#tunnel(sniffed, strictest ?? (decisions[0] as Decision))
  }

  isProvider(address: string): boolean {
    return this.#asked.isProvider(address)
  }

  /** Nothing was said. */
  silent(): Decision {
    return this.#asked.decide(this.#base('silent'))
  }

  /** A message that began and did not end. */
  unfinished(first: number | undefined): Decision {
    return this.#asked.decide(this.#base(first === 0x16 ? 'tls' : 'other'))
  }

  #one(seen: Seen, name: string | undefined): Decision {
    return this.#asked.decide(name === undefined ? seen : { ...seen, name })
  }

  #base(protocol: Seen['protocol'], within?: TunnelTarget): Seen {
    const { originalDestination, agent } = this.#facts
    const address = within ? addressOf(within.host) : originalDestination.address
    return {
      protocol,
      destination: originalDestination,
      destinationIsProvider: address !== undefined && this.#asked.isProvider(address),
      ...(this.#asked.isOwn(originalDestination.address) ? { destinationIsOwn: true } : {}),
      ...(agent.uid === undefined ? {} : { uid: agent.uid }),
      ...(within ? { inTunnel: true } : {}),
    }
  }

  /** A tunnel to a provider by its address names it as well as a name does. */
  #tunnel({ tunnel }: Sniffed, decision: Decision): Decision {
    const address = decision.action === 'inspect' && tunnel ? addressOf(tunnel.host) : undefined
    if (address === undefined || !this.#asked.isProvider(address)) return decision
    const { name, proxy } = this.#asked.policy
    const rule = `${name}/${'tunnel-provider-address' satisfies RuleId}`
    const reason = `a tunnel to ${address}, an address of an LLM provider`
    const facts = { rule, name: address, reason, flags: ['tunnelled-provider'] }
    return { action: proxy.tunnel === 'record' ? 'splice' : 'refuse', ...facts }
  }
}

/** An address however a careless proxy would read it: `0x7f.1` and `2130706433` are addresses to inet_aton(3). */
function addressOf(host: string): string | undefined {
  if (isIP(host) !== 0) return canonicalAddress(host)
  if (!/^[0-9a-fx.]+$/i.test(host)) return undefined
  const read = URL.parse(`http://${host}/`)?.hostname
  return read === undefined || isIP(read) === 0 ? undefined : read
}

/** Why, in words for the record. */
export const reasonFor = ({ reason, name }: Decision): string =>
  reason ?? (name === undefined ? '' : `governed name ${name}`)
