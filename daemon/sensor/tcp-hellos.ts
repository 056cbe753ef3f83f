/**
 * ClientHellos in TCP, also those cut over many segments that overtake each other: a way to hide a name.
 *
 * A stream is followed from the segment on that begins like a TLS handshake. What came before that segment, of a
 * stream that nobody follows yet, is kept for a moment.
 */

import { type ClientHello, readClientHello } from '../wire/client-hello.ts'
import type { IpPacket, TcpSegment } from '../wire/ip-packet.ts'
import { type Flow, flowKey, flowOf } from './flow.ts'
import { Reassembly } from './reassembly.ts'
import { Waiting } from './waiting.ts'

interface Stream {
  readonly flow: Flow
  /** Sequence number of its first byte. */
  readonly base: number
  readonly bytes: Reassembly
}

interface Early {
  readonly sequence: number
  readonly data: Buffer
}

export interface FoundHello {
  readonly flow: Flow
  readonly hello: ClientHello
}

/** Larger than any real one (two kilobytes with post-quantum keys), and all that servers take (OpenSSL: 128 KiB less). */
const LONGEST_HELLO = 32 << 10
const MOST_STREAMS = 256
const LONGEST_MS = 5000
const MOST_EARLY = 128
const MOST_EARLY_PIECES = 8
const LONGEST_EARLY_PIECE = 2048
const EARLY_MS = 1000
/** Read already: for so long its repetitions are that. */
const MOST_READ = 4096
const REPEATS_MS = 10_000
const HANDSHAKE = 22
const CHANGE_CIPHER_SPEC = 20

export class TcpHellos {
  readonly #streams: Waiting<Stream>
  readonly #early = new Waiting<Early[]>(MOST_EARLY, EARLY_MS)
  /** Sequence numbers at which hellos began that were read. */
  readonly #read = new Waiting<number>(MOST_READ, REPEATS_MS)

  /** @param unfinished gets what could be read of a hello whose rest never came */
  constructor(unfinished: (found: FoundHello) => void) {
    this.#streams = new Waiting(MOST_STREAMS, LONGEST_MS, ({ flow, bytes }) => {
      const hello = readClientHello(bytes.start(), true)
      if (typeof hello === 'object') unfinished({ flow, hello })
    })
  }

  /** The hello that this segment completes. */
  segment(packet: IpPacket, tcp: TcpSegment, now: number): FoundHello | undefined {
    const { data } = tcp
    if (data.length === 0) return undefined
    // A SYN takes a number of its own before its data (RFC 7413).
    const sequence = (tcp.sequence + (tcp.syn ? 1 : 0)) >>> 0
    const key = flowKey(packet, 'tcp', tcp.sourcePort, tcp.destinationPort)
    let stream = this.#streams.get(key)
    if (!stream && beginsTls(data)) {
      const read = this.#read.get(key)
      // What follows a hello that was read is its own connection's.
      if (read === sequence || (read !== undefined && data[0] !== HANDSHAKE)) return undefined
      stream = { flow: flowOf(packet, 'tcp', tcp), base: sequence, bytes: new Reassembly(LONGEST_HELLO) }
      this.#streams.add(key, stream, now)
      for (const early of this.#early.take(key) ?? []) {
        stream.bytes.add((early.sequence - sequence) | 0, early.data)
      }
    }
    if (!stream) {
      this.#keepEarly(key, { sequence, data }, now)
      return undefined
    }
    // Numbers wrap round at 2^32; what lies before the base is none of the hello's.
    stream.bytes.add((sequence - stream.base) | 0, data)
    const hello = readClientHello(stream.bytes.start(), stream.bytes.start().length >= LONGEST_HELLO)
    if (hello === 'more') return undefined
    this.#streams.take(key)
    this.#read.add(key, stream.base, now)
    return hello === 'not-tls' ? undefined : { flow: stream.flow, hello }
  }

  expire(now: number): void {
    this.#streams.expire(now)
    this.#early.expire(now)
    this.#read.expire(now)
  }

  #keepEarly(key: string, early: Early, now: number): void {
    if (early.data.length > LONGEST_EARLY_PIECE) return
    const kept = this.#early.get(key)
    const copy = { sequence: early.sequence, data: Buffer.from(early.data) }
    if (!kept) this.#early.add(key, [copy], now)
    else if (kept.length < MOST_EARLY_PIECES) kept.push(copy)
  }
}

/**
 * A handshake record of TLS, as far as the segment goes; or an alert or a change of ciphers, which some servers pass
 * over before a ClientHello.
 */
function beginsTls(data: Buffer): boolean {
  const type = data[0] ?? 0
  return type >= CHANGE_CIPHER_SPEC && type <= HANDSHAKE && (data.length < 2 || data[1] === 3)
}
