/** Puts IP datagrams together that were sent in fragments (RFC 791 section 3.2, RFC 8200 section 4.5): a way to hide a name. */
import { type IpPacket, upperLayer } from '../wire/ip-packet.ts'
import { Reassembly } from './reassembly.ts'
import { Waiting } from './waiting.ts'

interface Partial {
  readonly pieces: Reassembly
  /** Known once the last piece is there. */
  length: number | undefined
  protocol: number
}

const LONGEST_DATAGRAM = 65_535
const MOST = 64
const LONGEST_MS = 5000

export class Fragments {
  readonly #waiting: Waiting<Partial>

  /** @param abandoned called for each datagram whose pieces never became whole */
  constructor(abandoned: () => void) {
    this.#waiting = new Waiting(MOST, LONGEST_MS, abandoned)
  }

  /** The packet itself where it is whole, the datagram once its last piece is here, else undefined. */
  whole(packet: IpPacket, now: number): IpPacket | undefined {
    const { fragment, source, destination, family } = packet
    if (!fragment) return packet
    // The protocol counts for IPv4 only: of an IPv6 datagram just the first piece says it.
    const kind = family === 4 ? packet.protocol : 6
    const key = `${kind} ${fragment.id} ${source.toString('latin1')}${destination.toString('latin1')}`
    let partial = this.#waiting.get(key)
    if (!partial) {
      partial = { pieces: new Reassembly(LONGEST_DATAGRAM), length: undefined, protocol: packet.protocol }
      this.#waiting.add(key, partial, now)
    }
    if (!partial.pieces.add(fragment.offset, packet.payload)) return undefined
    if (fragment.offset === 0) partial.protocol = packet.protocol
    if (!fragment.more) partial.length = fragment.offset + packet.payload.length
    const start = partial.pieces.start()
    if (partial.length === undefined || start.length < partial.length) return undefined
    this.#waiting.take(key)
    const payload = start.subarray(0, partial.length)
    if (family === 4) return { family, source, destination, protocol: partial.protocol, payload }
    const upper = upperLayer(partial.protocol, payload)
    return upper && { family, source, destination, protocol: upper.protocol, payload: upper.payload }
  }

  expire(now: number): void {
    this.#waiting.expire(now)
  }
}
