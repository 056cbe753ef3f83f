/** What sensor and DNS guard saw, on its way into the log: with whom it was, as far as can still be told. */
import { isIPv6 } from 'node:net'
import type { Sighting as Evidence } from '../recorder/messages.ts'
import type { Agent } from '../recorder/record.ts'
import type { OwnerFlow } from './attribution/owner.ts'

interface Endpoint {
  readonly address: string
  readonly port: number
}

export interface SightingSink {
  /** A packet that was refused, or left past the proxy. */
  sensor(seen: SensorSighting): void
  /** Questions that the DNS guard did not ask. */
  dns(refused: DnsSighting): void
}

interface Counted {
  readonly rule: string
  readonly reason: string
  readonly protocol: string
  readonly client?: Endpoint | undefined
  readonly count: number
  readonly from: number
  readonly to: number
}

export interface SensorSighting extends Counted {
  readonly kind: 'refused' | 'leak'
  readonly destination: Endpoint
  readonly serverName?: string | undefined
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  readonly via: string
}

export interface DnsSighting extends Counted {
  readonly name: string
}

export interface SightingOptions {
  /** In force. */
  readonly policy: () => { readonly name: string; readonly hash: string }
  /** The governed name that an address was last seen to belong to. */
  readonly nameOf: (address: string) => string | undefined
  /** Rejects never. */
  readonly agent: (flow: OwnerFlow) => Promise<Agent>
  readonly record: (evidence: Evidence) => void
}

/** UDP and TCP sockets can be looked up; of anything else the kernel's word must do. */
const LOOKED_UP: Readonly<Record<string, 'tcp' | 'udp'>> = { tcp: 'tcp', udp: 'udp', quic: 'udp' }
const PORT_OF_DNS = 53

export function sightings({ policy, nameOf, agent, record }: SightingOptions): SightingSink {
  /** The socket may be gone, or another's by now: what is found counts only where its uid is the packet's. */
  const sender = async (seen: SensorSighting): Promise<Agent> => {
    const { uid, gid, client, destination } = seen
    const known: Agent = { ...(uid === undefined ? {} : { uid }), ...(gid === undefined ? {} : { gid }) }
    const protocol = LOOKED_UP[seen.protocol]
    // Port 0: several of the client's.
    if (protocol === undefined || client === undefined || client.port === 0 || seen.count > 1) return known
    const family = isIPv6(client.address) ? 6 : 4
    const found = await agent({ protocol, family, client, destination })
    return uid === undefined || found.uid === uid ? { ...found, ...known } : known
  }
  const common = ({ reason, protocol, client, count, from, to }: Counted) => ({
    ...{ reason, protocol, count, from, to, policy: policy().hash },
    ...(client === undefined ? {} : { client }),
  })
  return {
    sensor(seen) {
      const serverName = seen.serverName ?? nameOf(seen.destination.address)
      void sender(seen).then((agent) =>
        record({
          ...common(seen),
          type: seen.kind === 'leak' ? 'leak' : 'refusal',
          rule: `${policy().name}/fence-${seen.rule}`,
          agent,
          destination: seen.destination,
          ...(serverName === undefined ? {} : { serverName }),
          via: seen.via,
        }),
      )
    },
    dns(refused) {
      record({
        ...common(refused),
        type: 'refusal',
        rule: refused.rule,
        agent: {},
        // Which server was asked is unknown: the question was turned to the guard.
        destination: {
          address: isIPv6(refused.client?.address ?? '') ? '::' : '0.0.0.0',
          port: PORT_OF_DNS,
        },
        serverName: refused.name,
        via: 'dns-guard',
      })
    },
  }
}
