/**
 * Names and addresses in DNS answers that the kernel copied, over UDP and over TCP (RFC 1035 section 4.2.2).
 *
 * Threat model: anybody who answers from port 53 can put an address under a governed name: what is learned leads to
 * more being captured and refused, never to less. Containers answer themselves what they like: they teach nothing.
 */
import { addressText } from '../../firewall/ip-address.ts'
import { readAnswer } from '../wire/dns-answer.ts'
import { readMessage } from '../wire/dns-message.ts'
import { type IpPacket, readTcp, readUdp, TCP, type TcpSegment, UDP } from '../wire/ip-packet.ts'
import { flowKey } from './flow.ts'
import type { LearnedAddress } from './messages.ts'
import { Reassembly } from './reassembly.ts'
import { Waiting } from './waiting.ts'

export interface Answered {
  /** The governed name. */
  readonly name: string
  readonly entries: readonly LearnedAddress[]
  /** Address of the server that answered. */
  readonly server: string
}

interface Stream {
  base: number
  bytes: Reassembly
}

const DNS_PORT = 53
/** A message and its length. */
const LONGEST = 65_535 + 2
const MOST_STREAMS = 128
const LONGEST_MS = 30_000

export class DnsAnswers {
  readonly #governs: (name: string) => boolean
  readonly #streams = new Waiting<Stream>(MOST_STREAMS, LONGEST_MS)

  constructor(governs: (name: string) => boolean) {
    this.#governs = governs
  }

  packet(packet: IpPacket, now: number): Answered[] {
    const messages = packet.protocol === UDP ? overUdp(packet) : this.#overTcp(packet, now)
    return messages.flatMap((message) => {
      const answer = this.#read(message)
      return answer ? [{ ...answer, server: addressText(packet.source) }] : []
    })
  }

  expire(now: number): void {
    this.#streams.expire(now)
  }

  #read(bytes: Buffer): Omit<Answered, 'server'> | undefined {
    const message = readMessage(bytes)
    const answer = message && readAnswer(message)
    const name = answer?.names.find((each) => this.#governs(each))
    if (!answer || name === undefined) return undefined
    const entries = answer.entries.filter(({ address }) => isServer(address))
    return entries.length === 0 ? undefined : { name, entries }
  }

  #overTcp(packet: IpPacket, now: number): Buffer[] {
    const tcp = packet.protocol === TCP ? readTcp(packet.payload) : undefined
    if (tcp?.sourcePort !== DNS_PORT) return []
    const key = flowKey(packet, 'tcp', tcp.sourcePort, tcp.destinationPort)
    let stream = this.#streams.get(key)
    if (tcp.syn || !stream) {
      stream = { base: tcp.syn ? (tcp.sequence + 1) >>> 0 : tcp.sequence, bytes: new Reassembly(LONGEST) }
      this.#streams.add(key, stream, now)
    }
    return tcp.data.length === 0 ? [] : follow(stream, tcp)
  }
}

function overUdp(packet: IpPacket): Buffer[] {
  const udp = readUdp(packet.payload)
  return udp?.sourcePort === DNS_PORT ? [udp.data] : []
}

/** The messages that a segment completes; each is behind its length. */
function follow(stream: Stream, { sequence, syn, data }: TcpSegment): Buffer[] {
  // A SYN takes a number of its own before its data (RFC 7413).
  stream.bytes.add((sequence + (syn ? 1 : 0) - stream.base) | 0, data)
  const messages: Buffer[] = []
  let rest = stream.bytes.start()
  let taken = 0
  while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
    const end = 2 + rest.readUInt16BE(0)
    messages.push(rest.subarray(2, end))
    rest = rest.subarray(end)
    taken += end
  }
  if (taken > 0) {
    stream.base = (stream.base + taken) >>> 0
    stream.bytes = new Reassembly(LONGEST)
    stream.bytes.add(0, rest)
  }
  return messages
}

/** Unspecified, loopback, link-local, multicast and broadcast addresses are no provider's: filters answer with those. */
function isServer(address: string): boolean {
  if (!address.includes(':')) return !/^(0|127|169\.254|22[4-9]|23\d|24\d|25\d)\./.test(address)
  return !/^(::1?$|fe[89ab]|ff)/.test(address)
}
