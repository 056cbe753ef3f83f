/**
 * ClientHellos in QUIC Initial packets, also those whose CRYPTO frames come in several datagrams and out of order.
 *
 * Each connection's keys come from the destination id of its client's first packet; later Initials carry the id that
 * the server chose and are opened with the same keys (RFC 9001 section 5.2).
 */
import { readClientHello } from '../wire/client-hello.ts'
import type { IpPacket, UdpDatagram } from '../wire/ip-packet.ts'
import {
  clientInitialKeys,
  findInitials,
  type InitialKeys,
  type OpenedInitial,
  openInitial,
  type ProtectedInitial,
} from '../wire/quic-initial.ts'
import { type Flow, flowKey, flowOf } from './flow.ts'
import { Reassembly } from './reassembly.ts'
import type { FoundHello } from './tcp-hellos.ts'
import { Waiting } from './waiting.ts'

interface Connection {
  readonly id: Buffer
  readonly keys: InitialKeys
  readonly handshake: Reassembly
  largest: number
  read: boolean
}

const LONGEST_HELLO = 32 << 10
const MOST_FLOWS = 256
/** Clients repeat an Initial for longer (RFC 9002 section 6.2), and are new to us then. */
const LONGEST_MS = 10_000
/** On one pair of addresses and ports: a client may open several from one socket. */
const MOST_CONNECTIONS = 4
/** Opening one takes some 40 µs; a flood of them must not take the processor. */
const MOST_OPENED_A_SECOND = 2000

export class QuicHellos {
  readonly #flows: Waiting<{ flow: Flow; connections: Connection[] }>
  readonly #unread: () => void
  #second = 0
  #opened = 0

  /**
   * @param unfinished gets what could be read of a hello whose rest never came
   * @param unread called for each packet that there was no time for
   */
  constructor(unfinished: (found: FoundHello) => void, unread: () => void) {
    this.#unread = unread
    this.#flows = new Waiting(MOST_FLOWS, LONGEST_MS, ({ flow, connections }) => {
      for (const { read, handshake } of connections) {
        const hello = read ? 'more' : readClientHello(records(handshake.start()), true)
        if (typeof hello === 'object') unfinished({ flow, hello })
      }
    })
  }

  /** The hellos that this datagram completes; more than one only where several connections share it. */
  datagram(packet: IpPacket, udp: UdpDatagram, now: number): FoundHello[] {
    const found: FoundHello[] = []
    for (const initial of findInitials(udp.data)) {
      const key = flowKey(packet, 'udp', udp.sourcePort, udp.destinationPort)
      const entry = this.#flows.get(key)
      const connections = entry?.connections ?? []
      const match = this.#open(initial, connections, now)
      if (!match) continue
      const { connection, opened } = match
      const flow = entry?.flow ?? flowOf(packet, 'udp', udp)
      if (!connections.includes(connection)) this.#add(connections, connection)
      if (!entry) this.#flows.add(key, { flow, connections }, now)
      connection.largest = Math.max(connection.largest, opened.packetNumber)
      if (connection.read) continue
      for (const { offset, data } of opened.frames) connection.handshake.add(offset, data)
      const start = connection.handshake.start()
      const hello = readClientHello(records(start), start.length >= LONGEST_HELLO)
      if (start.length === 0 || hello === 'more') continue
      connection.read = true
      if (hello !== 'not-tls') found.push({ flow, hello })
    }
    return found
  }

  expire(now: number): void {
    this.#flows.expire(now)
  }

  #open(
    initial: ProtectedInitial,
    connections: readonly Connection[],
    now: number,
  ): { connection: Connection; opened: OpenedInitial } | undefined {
    const known = connections.find(({ id }) => id.equals(initial.destinationId))
    for (const connection of known ? [known] : connections) {
      if (!this.#mayOpen(now)) return undefined
      const opened = openInitial(initial, connection.keys, connection.largest)
      if (opened) return { connection, opened }
    }
    if (known || !this.#mayOpen(now)) return undefined
    const keys = clientInitialKeys(initial.version, initial.destinationId)
    const opened = openInitial(initial, keys)
    if (!opened) return undefined
    // What is kept of a packet is copied: captures use their memory again.
    const id = Buffer.from(initial.destinationId)
    const handshake = new Reassembly(LONGEST_HELLO)
    return { connection: { id, keys, handshake, largest: opened.packetNumber, read: false }, opened }
  }

  /** In place of one whose hello has been read, where there are too many: decoys must not hide the last one. */
  #add(connections: Connection[], connection: Connection): void {
    if (connections.length >= MOST_CONNECTIONS) {
      const done = connections.findIndex(({ read }) => read)
      if (done < 0) this.#unread()
      connections.splice(Math.max(done, 0), 1)
    }
    connections.push(connection)
  }

  #mayOpen(now: number): boolean {
    const second = Math.floor(now / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#opened = 0
    }
    this.#opened += 1
    if (this.#opened <= MOST_OPENED_A_SECOND) return true
    this.#unread()
    return false
  }
}

/** RFC 8446 section 5.1. */
const LONGEST_RECORD = 1 << 14

/** QUIC carries handshake messages without TLS records (RFC 9001 section 4): here they get some. */
function records(handshake: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < handshake.length; at += LONGEST_RECORD) {
    const piece = handshake.subarray(at, at + LONGEST_RECORD)
    parts.push(Buffer.from([22, 3, 3, piece.length >> 8, piece.length & 0xff]), piece)
  }
  return Buffer.concat(parts)
}
