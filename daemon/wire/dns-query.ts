/**
 * Queries, and the messages that a forwarder writes itself. What goes upstream is made anew from the question and
 * the few flags that mean something there: EDNS options go from hop to hop (RFC 6891 section 6.1.1), so a
 * client's cookies, client subnets or private options are not passed on.
 */
import { type DnsMessage, FLAG, HEADER_SIZE, type Question, readMessage, TYPE } from './dns-message.ts'

/** What no path fragments (DNS flag day 2020, RFC 9715 section 3). */
export const UDP_PAYLOAD_SIZE = 1232
/** RFC 1035 section 4.2.1: what a client without EDNS takes. */
const PLAIN_PAYLOAD_SIZE = 512
const DNSSEC_OK = 0x8000
const OPT_SIZE = 11
const PASSED_ON = FLAG.recursionDesired | FLAG.authenticData | FLAG.checkingDisabled
const BADVERS = 16

export const RCODE = { formErr: 1, servFail: 2, nxDomain: 3, notImp: 4, refused: 5 } as const
/** Extended DNS errors (RFC 8914 section 5.2). */
export const EDE = { networkError: 23, blocked: 15, notReady: 14 } as const

export interface Query {
  readonly id: number
  /** See `FLAG`; of a query. */
  readonly flags: number
  readonly question: Question
  /** As the client wrote it, its case included: name, type, class. */
  readonly questionBytes: Buffer
  readonly edns: { readonly dnssecOk: boolean } | undefined
  /** Octets of UDP payload that the client takes, at most {@link UDP_PAYLOAD_SIZE}. */
  readonly limit: number
}

/** A query to be answered; a Buffer: the refusal to send in its place; undefined: nothing that deserves an answer. */
export function readQuery(bytes: Buffer): Query | Buffer | undefined {
  // An answer is never answered: two servers would do that for ever.
  if (bytes.length < HEADER_SIZE || (bytes.readUInt16BE(2) & FLAG.response) !== 0) return undefined
  const message = readMessage(bytes)
  const opcode = bytes.readUInt16BE(2) & FLAG.opcode
  if (opcode !== 0) return header(bytes, RCODE.notImp)
  if (message?.question === undefined || message.answers.length > 0) return header(bytes, RCODE.formErr)
  const options = message.additionals.filter(({ type }) => type === TYPE.OPT)
  const [option] = options
  // Only the root's name may own it (RFC 6891 section 6.1.2), and only once.
  if (options.length > 1 || (option && option.name !== '.')) return header(bytes, RCODE.formErr)
  const { id, flags, question } = message
  const dnssecOk = option !== undefined && (option.ttl & DNSSEC_OK) !== 0
  const size = option === undefined ? PLAIN_PAYLOAD_SIZE : option.class
  const query: Query = {
    id,
    flags,
    question,
    questionBytes: bytes.subarray(HEADER_SIZE, question.end),
    edns: option === undefined ? undefined : { dnssecOk },
    limit: Math.min(Math.max(size, PLAIN_PAYLOAD_SIZE), UDP_PAYLOAD_SIZE),
  }
  const version = option === undefined ? 0 : (option.ttl >>> 16) & 0xff
  return version === 0 ? query : formatReply(query, BADVERS)
}

/** A header alone, in answer to what can't be read further. */
function header(query: Buffer, rcode: number): Buffer {
  const bytes = Buffer.alloc(HEADER_SIZE)
  bytes.writeUInt16BE(query.readUInt16BE(0), 0)
  const kept = query.readUInt16BE(2) & (FLAG.opcode | FLAG.recursionDesired)
  bytes.writeUInt16BE(FLAG.response | FLAG.recursionAvailable | kept | rcode, 2)
  return bytes
}

/** The query as it goes upstream. */
export function formatQuery(query: Query, id: number): Buffer {
  const parts = [start(id, query.flags & PASSED_ON, query.edns !== undefined), query.questionBytes]
  if (query.edns) parts.push(option(query.edns.dnssecOk, 0, Buffer.alloc(0)))
  return Buffer.concat(parts)
}

/** An answer without records. @param error an extended error, for clients that know EDNS */
export function formatReply(
  query: Query,
  rcode: number,
  error?: { readonly code: number; readonly text: string },
): Buffer {
  const flags = FLAG.response | FLAG.recursionAvailable | (rcode & FLAG.rcode)
  const kept = query.flags & (FLAG.recursionDesired | FLAG.checkingDisabled)
  const parts = [start(query.id, flags | kept, query.edns !== undefined), query.questionBytes]
  if (query.edns) {
    const extended = error ? extendedError(error) : Buffer.alloc(0)
    parts.push(option(query.edns.dnssecOk, rcode >> 4, extended))
  }
  return Buffer.concat(parts)
}

function start(id: number, flags: number, edns: boolean): Buffer {
  const bytes = Buffer.alloc(HEADER_SIZE)
  bytes.writeUInt16BE(id, 0)
  bytes.writeUInt16BE(flags, 2)
  bytes.writeUInt16BE(1, 4)
  bytes.writeUInt16BE(edns ? 1 : 0, 10)
  return bytes
}

function option(dnssecOk: boolean, extendedRcode: number, options: Buffer): Buffer {
  const bytes = Buffer.alloc(OPT_SIZE)
  bytes.writeUInt16BE(TYPE.OPT, 1)
  bytes.writeUInt16BE(UDP_PAYLOAD_SIZE, 3)
  bytes.writeUInt8(extendedRcode, 5)
  bytes.writeUInt16BE(dnssecOk ? DNSSEC_OK : 0, 7)
  bytes.writeUInt16BE(options.length, 9)
  return Buffer.concat([bytes, options])
}

const EXTENDED_ERROR = 15

function extendedError({ code, text }: { readonly code: number; readonly text: string }): Buffer {
  const extra = Buffer.from(text)
  const bytes = Buffer.alloc(6)
  bytes.writeUInt16BE(EXTENDED_ERROR, 0)
  bytes.writeUInt16BE(2 + extra.length, 2)
  bytes.writeUInt16BE(code, 4)
  return Buffer.concat([bytes, extra])
}

/** Is this an answer to that query, as it was sent under `id`? Case aside: not every server keeps it. */
export function answers(message: DnsMessage, query: Query, id: number): boolean {
  if (message.id !== id || (message.flags & (FLAG.response | FLAG.opcode)) !== FLAG.response) return false
  // Servers that can't read the question don't repeat it (RFC 6891 section 7); such a message says only that.
  if (message.question === undefined) {
    return (message.flags & FLAG.rcode) !== 0 && message.answers.length === 0
  }
  const { name, type, class: kind } = query.question
  return message.question.name === name && message.question.type === type && message.question.class === kind
}

/** An answer from upstream made out to this client: its id, and the question as it wrote it (0x20). */
export function addressedTo(query: Query, message: DnsMessage): Buffer {
  if (message.question === undefined) return formatReply(query, message.flags & FLAG.rcode)
  const bytes = Buffer.from(message.bytes)
  bytes.writeUInt16BE(query.id, 0)
  // The same name is as long; a name in a question has nothing before it to point to.
  query.questionBytes.copy(bytes, HEADER_SIZE)
  return bytes
}

/** The answer cut to `limit` octets: too long, it is left without records, and the client asks by TCP (RFC 2181, 9). */
export function fit(query: Query, answer: Buffer, limit: number): Buffer {
  if (answer.length <= limit) return answer
  const bytes = formatReply(query, answer.readUInt16BE(2) & FLAG.rcode)
  bytes.writeUInt16BE(answer.readUInt16BE(2) | FLAG.truncated, 2)
  return bytes
}
