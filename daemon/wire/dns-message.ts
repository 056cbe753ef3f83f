/**
 * DNS messages (RFC 1035 section 4) as they lie in their bytes: what stands where, nothing copied, so that a message
 * can be passed on as it came. Own code: `dns-packet` joins labels by dots unescaped, so that a label `api.example`
 * reads like two, and what it encodes again is not what it decoded (label bytes, records that it doesn't know).
 *
 * Threat model: both sides are hostile. A message counts only if all of its sections can be read to the end; names
 * may point backwards only, so each ends within its 255 octets.
 */
import { SocketAddress } from 'node:net'

export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  AAAA: 28,
  OPT: 41,
  SVCB: 64,
  HTTPS: 65,
  IXFR: 251,
  AXFR: 252,
} as const
export const CLASS_IN = 1

/** Bits of the header's second word (RFC 1035 section 4.1.1, RFC 4035 section 3). */
export const FLAG = {
  response: 0x8000,
  opcode: 0x7800,
  authoritative: 0x0400,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
  authenticData: 0x0020,
  checkingDisabled: 0x0010,
  rcode: 0x000f,
} as const

export const HEADER_SIZE = 12
const MAX_NAME_OCTETS = 255
const MAX_LABEL_OCTETS = 63
const POINTER = 0xc0

export interface Question {
  /** Lower case, labels joined by dots, no dot at the end; `.` for the root; see {@link readName}. */
  readonly name: string
  readonly type: number
  readonly class: number
  /** One past its last byte; it starts behind the header. */
  readonly end: number
}

export interface ResourceRecord {
  readonly name: string
  readonly type: number
  /** For OPT the sender's UDP payload size. */
  readonly class: number
  /** Seconds; for OPT extended rcode, version and flags (RFC 6891 section 6.1.3). */
  readonly ttl: number
  /** Where in the message the owner's name, the data, and what follows it begin. */
  readonly start: number
  readonly dataStart: number
  readonly end: number
}

export interface DnsMessage {
  readonly bytes: Buffer
  readonly id: number
  /** See {@link FLAG}. */
  readonly flags: number
  /** Queries have one, and what follows knows no others; absent in some servers' failures. */
  readonly question: Question | undefined
  readonly answers: readonly ResourceRecord[]
  readonly authorities: readonly ResourceRecord[]
  readonly additionals: readonly ResourceRecord[]
}

/**
 * Reads a whole message; bytes past its last record are left out of `bytes`. `undefined` for anything that is none:
 * cut short, more than one question, names that don't end.
 */
export function readMessage(bytes: Buffer): DnsMessage | undefined {
  if (bytes.length < HEADER_SIZE) return undefined
  const questions = bytes.readUInt16BE(4)
  if (questions > 1) return undefined
  const question = questions === 1 ? readQuestion(bytes) : undefined
  if (questions === 1 && question === undefined) return undefined
  let at = question?.end ?? HEADER_SIZE
  const sections: ResourceRecord[][] = []
  for (const countAt of [6, 8, 10]) {
    const records: ResourceRecord[] = []
    for (let left = bytes.readUInt16BE(countAt); left > 0; left -= 1) {
      const record = readRecord(bytes, at)
      if (record === undefined) return undefined
      records.push(record)
      at = record.end
    }
    sections.push(records)
  }
  const [answers = [], authorities = [], additionals = []] = sections
  return {
    bytes: bytes.subarray(0, at),
    id: bytes.readUInt16BE(0),
    flags: bytes.readUInt16BE(2),
    question,
    answers,
    authorities,
    additionals,
  }
}

function readQuestion(bytes: Buffer): Question | undefined {
  const found = readName(bytes, HEADER_SIZE)
  // There is nothing before it to point to.
  if (found === undefined || found.end + 4 > bytes.length) return undefined
  const { name, end } = found
  return { name, type: bytes.readUInt16BE(end), class: bytes.readUInt16BE(end + 2), end: end + 4 }
}

function readRecord(bytes: Buffer, start: number): ResourceRecord | undefined {
  const owner = readName(bytes, start)
  if (owner === undefined || owner.end + 10 > bytes.length) return undefined
  const at = owner.end
  const dataStart = at + 10
  const end = dataStart + bytes.readUInt16BE(at + 8)
  if (end > bytes.length) return undefined
  return {
    name: owner.name,
    type: bytes.readUInt16BE(at),
    class: bytes.readUInt16BE(at + 2),
    ttl: bytes.readUInt32BE(at + 4),
    start,
    dataStart,
    end,
  }
}

/**
 * The name at `start`: lower case, without a final dot. What can't stand in a host name is written as in a zone file
 * (RFC 1035 section 5.1): a dot within a label `\.`, bytes that aren't printable `\DDD`, so two names never read alike.
 */
export function readName(bytes: Buffer, start: number): { name: string; end: number } | undefined {
  const labels: string[] = []
  let octets = 1
  let at = start
  // Each jump goes to before the last one: no loops (RFC 1035 section 4.1.4, "a prior occurrence").
  let before = start
  let end: number | undefined
  for (;;) {
    const length = bytes[at]
    if (length === undefined) return undefined
    if (length === 0) break
    if (length >= POINTER) {
      const low = bytes[at + 1]
      if (low === undefined) return undefined
      end ??= at + 2
      at = ((length & 0x3f) << 8) | low
      if (at >= before || at < HEADER_SIZE) return undefined
      before = at
      continue
    }
    if (length > MAX_LABEL_OCTETS) return undefined
    octets += length + 1
    if (octets > MAX_NAME_OCTETS || at + 1 + length > bytes.length) return undefined
    labels.push(labelText(bytes, at + 1, length))
    at += 1 + length
  }
  return { name: labels.length === 0 ? '.' : labels.join('.'), end: end ?? at + 1 }
}

function labelText(bytes: Buffer, start: number, length: number): string {
  const text = bytes.toString('latin1', start, start + length)
  if (/^[a-z0-9_-]+$/.test(text)) return text
  return text
    .replace(/[A-Z]/g, (letter) => letter.toLowerCase())
    .replace(/[.\\]/g, '\\$&')
    .replace(/[^!-~]/g, (byte) => `\\${String(byte.charCodeAt(0)).padStart(3, '0')}`)
}

/** The address of an A or AAAA record, canonical text; `undefined` for other records and wrong lengths. */
export function addressOf(bytes: Buffer, record: ResourceRecord): string | undefined {
  if (record.class !== CLASS_IN) return undefined
  if (record.type !== TYPE.A && record.type !== TYPE.AAAA) return undefined
  return addressText(bytes.subarray(record.dataStart, record.end), record.type === TYPE.A ? 4 : 16)
}

/** Text of network-order bytes, IPv4-mapped IPv6 as IPv4; `undefined` where there aren't `size` of them. */
export function addressText(data: Buffer, size: 4 | 16): string | undefined {
  if (data.length !== size) return undefined
  if (size === 4) return data.join('.')
  const groups = Array.from({ length: 8 }, (_, i) => data.readUInt16BE(2 * i).toString(16))
  const { address } = new SocketAddress({ address: groups.join(':'), family: 'ipv6' })
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address
}
