/** One direction of a conversation as a packet names it. */
import { addressText, type Endpoint } from '../../firewall/ip-address.ts'
import type { IpPacket } from '../wire/ip-packet.ts'

export interface Flow {
  readonly family: 4 | 6
  readonly protocol: 'tcp' | 'udp'
  readonly source: Endpoint
  readonly destination: Endpoint
  /** The same for all packets of the flow, and for no others. */
  readonly key: string
}

/** @param ports as the transport header gives them */
export function flowOf(
  packet: Pick<IpPacket, 'family' | 'source' | 'destination'>,
  protocol: Flow['protocol'],
  { sourcePort, destinationPort }: { readonly sourcePort: number; readonly destinationPort: number },
): Flow {
  const source = { address: addressText(packet.source), port: sourcePort }
  const destination = { address: addressText(packet.destination), port: destinationPort }
  return {
    family: packet.family,
    protocol,
    source,
    destination,
    key: flowKey(packet, protocol, sourcePort, destinationPort),
  }
}

/** The key alone, which is cheaper: most packets belong to no flow that anybody waits for. */
export function flowKey(
  { source, destination }: Pick<IpPacket, 'source' | 'destination'>,
  protocol: Flow['protocol'],
  sourcePort: number,
  destinationPort: number,
): string {
  const addresses = source.toString('latin1') + destination.toString('latin1')
  return `${protocol}${sourcePort} ${destinationPort} ${addresses}`
}
