/** The ways round that doctor tries, and the counters that must move for each: pure. */
import { counterOf } from '../../firewall/refusal-rules.ts'
import type { Attempt } from './attempt.ts'

export interface Ground {
  /** Known LLM addresses of either family; one of each is tried. */
  readonly addresses4: readonly string[]
  readonly addresses6: readonly string[]
  readonly proxyPort: number
  readonly fence: 'nothing' | 'providers' | 'everything'
  readonly dns: 'direct' | 'guarded'
}

export interface Try {
  readonly name: string
  readonly attempt: Attempt
  /** `refused`: the sender must get an error; `caught`: the proxy or the guard must have taken it. */
  readonly expect: 'refused' | 'caught'
  /** Named counters of our tables, any of which proves that it was the kernel's rules that did it. */
  readonly counters: readonly string[]
}

/** TEST-NET-3 and its IPv6 counterpart (RFC 5737, RFC 3849): nobody's, so that nothing is disturbed if it leaves. */
const FOREIGN = { 4: '203.0.113.253', 6: '2001:db8:ffff::53' } as const

export function tries(ground: Ground): Try[] {
  const [llm4] = ground.addresses4
  const [llm6] = ground.addresses6
  const fenced = ground.fence !== 'nothing'
  const towards = (family: 4 | 6, llm: string | undefined): Try[] =>
    llm === undefined
      ? []
      : [
          {
            name: `TLS-less bytes to a provider, IPv${family}, port 8443`,
            attempt: { protocol: 'tcp', address: llm, port: 8443 },
            expect: fenced ? 'refused' : 'caught',
            counters: ['redirected', counterOf('tcp')],
          },
          {
            name: `QUIC to a provider, IPv${family}, UDP port 443`,
            attempt: { protocol: 'udp', address: llm, port: 443 },
            expect: fenced ? 'refused' : 'caught',
            counters: [counterOf(fenced ? 'quic' : 'seen-quic')],
          },
          {
            name: `UDP to a provider, IPv${family}, port 3478`,
            attempt: { protocol: 'udp', address: llm, port: 3478 },
            expect: fenced ? 'refused' : 'caught',
            counters: [counterOf(fenced ? 'udp' : 'seen-udp')],
          },
        ]
  const strict = (family: 4 | 6): Try[] =>
    ground.fence !== 'everything'
      ? []
      : [
          {
            name: `UDP to a foreign host, IPv${family}`,
            attempt: { protocol: 'udp', address: FOREIGN[family], port: 9999 },
            expect: 'refused',
            counters: [counterOf('udp')],
          },
        ]
  const resolver: Try[] =
    ground.dns !== 'guarded'
      ? []
      : [
          {
            name: 'a foreign resolver, UDP port 53',
            attempt: { protocol: 'udp', address: FOREIGN[4], port: 53 },
            expect: 'caught',
            counters: ['redirected_dns'],
          },
        ]
  return [
    ...(['127.0.0.1', '::1'] as const).map(
      (address): Try => ({
        name: `the proxy's own port on ${address}`,
        attempt: { protocol: 'tcp', address, port: ground.proxyPort },
        expect: 'refused',
        counters: [counterOf('direct')],
      }),
    ),
    ...towards(4, llm4),
    ...towards(6, llm6),
    ...strict(4),
    ...(llm6 === undefined ? [] : strict(6)),
    ...resolver,
  ]
}
