/** Attempts below and beside the sockets that everybody uses. */
import { REPOSITORY } from '../../lab/places.ts'

/** What raw_packets.py and frames.py make packets of. */
export interface Packet {
  readonly how?: 'hdrincl' | 'packet' | 'bypass' | 'datagram' | 'disguised' | 'tagged' | 'xdp'
  readonly what: 'syn' | 'udp' | 'icmp'
  readonly source: string
  readonly address: string
  readonly port: number
  readonly sourcePort: number
  /** Of a TCP segment, in place of SYN. */
  readonly flags?: number
  /** With a checksum that makes its receiver drop it. */
  readonly corrupt?: boolean
  readonly text?: string
  readonly device?: string
  /** Address of the next hop. */
  readonly gateway: string
}

interface Peer {
  readonly address: string
  readonly port: number
}

export const rawPacket = (packet: Packet): string[] => attacker('raw_packets', packet)

export const frames = (packets: readonly Packet[]): string[] => attacker('frames', packets)

export const tunPackets = (asked: {
  readonly device: string
  readonly address4: string
  readonly address6: string
  readonly packets: readonly Packet[]
  readonly peers: readonly Peer[]
  readonly vxlan: { readonly address: string; readonly inner: string }
  /** Seconds between the devices and the packets. */
  readonly settle: number
}): string[] => attacker('tun_packets', asked)

/** A proxy for CONNECT on all of the machine's addresses, until it is killed. */
export const forwardProxy = (port: number): string[] => attacker('forward_proxy', port)

function attacker(program: string, asked: unknown): string[] {
  return ['/usr/bin/python3', '-B', `${REPOSITORY}/test/lab/attackers/${program}.py`, JSON.stringify(asked)]
}

/** Connections that are held until stdin ends; says so once they stand. */
export const heldConnections = (asked: Peer & { readonly count: number }): string[] =>
  attacker('many_connections', asked)

/** A server of local models on all of the machine's addresses, until it is killed. */
export const localModels = (port: number): string[] => attacker('local_llm', port)
