/**
 * With a fence around everything, answers to those who called pass. So nobody on this machine may make connection
 * tracking believe that somebody called: whatever opens a connection here in the name of another machine must
 * have come from where that machine is.
 *
 * Threat model: a holder of CAP_NET_RAW on the host or in a container (raw sockets, frames on the loopback device
 * or on a bridge), and whoever can hand a packet to a tunnel's or virtual device of the machine's (VXLAN takes
 * them from any local user), with an accomplice who then "answers". What comes from outside by hardware is taken
 * for what it says: routes may be asymmetric there, and a machine out there could have called as itself.
 */
import type { Enforcement } from './enforcement.ts'
import { HAS_SOCKET, type TableText } from './nftables-text.ts'
import { tells } from './refusal-rules.ts'

/** After connection tracking (-200), before any translation (-100). */
const ARRIVED = -150
/** Made of hardware, or what only the other end's key can put packets into. */
const OUTER_KINDS = '{ "vlan", "bond", "team", "wireguard" }'
/** Who has no address yet (DHCP, duplicate address detection). */
const NAMELESS = ['ip saddr 0.0.0.0 accept', 'ip6 saddr :: accept']

/** Only to be accepted for answers: nobody answers from an address that isn't the machine's. */
export const OWN_SOURCE = 'fib saddr type local'

/**
 * @param ungoverned rules that let ungoverned senders pass
 * @returns chains, to be declared, and rules; a packet to this machine may be sent to the chain `home`
 */
export function forgeries(
  { add }: TableText,
  e: Enforcement,
  ungoverned: readonly string[],
): { declare: string[]; rules: string[] } {
  if (e.fence !== 'everything') return { declare: [], rules: [] }
  const home = (what: string) => add(`rule home ${what}`)
  const arrived = (what: string) => add(`rule arrived ${what}`)
  const told = tells('forged', e.logGroup)
  return {
    declare: [
      add('chain home'),
      add(`chain arrived { type filter hook prerouting priority ${ARRIVED}; policy accept; }`),
    ],
    rules: [
      home(`${OWN_SOURCE} accept`),
      ...[...ungoverned, ...NAMELESS].map(home),
      // The kernel's own resets come in the name of the host that a rule refused.
      home(`${HAS_SOCKET} ${told} drop`),

      arrived('ct state != new accept'),
      // The look-up of a route misses the machine's own where they arrive by lo; others answer on this link alone.
      arrived('ip6 saddr fe80::/10 accept'),
      arrived(`iifname "lo" fib saddr type != local ${told} drop`),
      // Devices without a kind, such as Ethernet cards, don't match.
      arrived(`meta iifkind != ${OUTER_KINDS} fib saddr . iif oif missing ${told} drop`),
    ],
  }
}
