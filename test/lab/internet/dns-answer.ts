/**
 * The few lines of DNS (RFC 1035, RFC 3596) that an authoritative answer from a fixed table takes. Own
 * code rather than a package, because the demonstration ships with the product.
 */

/** Addresses of one name: four bytes each for A, sixteen for AAAA. */
export interface Addresses {
  readonly a: readonly Uint8Array[]
  readonly aaaa: readonly Uint8Array[]
  /** RDATA of HTTPS records (RFC 9460). */
  readonly https?: readonly Uint8Array[]
}

const HEADER = 12
const TYPE_A = 1
const TYPE_AAAA = 28
const TYPE_HTTPS = 65
const NOT_FOUND = 3
const NOT_IMPLEMENTED = 4
/** Seconds; short, as providers' are, and caches hold nothing across a test. */
const TTL = 5

/** The answer to one query; undefined where the message is none that could be answered. */
export function answerQuery(
  query: Buffer,
  lookUp: (name: string) => Addresses | undefined,
): Buffer | undefined {
  if (query.length < HEADER || (query[2]! & 0x80) !== 0) return undefined
  const asked = readQuestion(query)
  if (asked === undefined || query.readUInt16BE(4) !== 1) return undefined
  const isQuery = (query[2]! & 0x78) === 0
  const found = isQuery ? lookUp(asked.name) : undefined
  const records = found === undefined ? [] : recordsOf(found, asked.type)

  const header = Buffer.alloc(HEADER)
  query.copy(header, 0, 0, 2)
  // QR and AA, opcode and RD as asked; RA, so that no resolver complains.
  header[2] = 0x84 | (query[2]! & 0x79)
  header[3] = 0x80 | (isQuery ? (found === undefined ? NOT_FOUND : 0) : NOT_IMPLEMENTED)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(records.length, 6)
  return Buffer.concat([
    header,
    query.subarray(HEADER, asked.end),
    ...records.map((data) => record(asked.type, data)),
  ])
}

function recordsOf({ a, aaaa, https = [] }: Addresses, type: number): readonly Uint8Array[] {
  if (type === TYPE_A) return a
  if (type === TYPE_AAAA) return aaaa
  return type === TYPE_HTTPS ? https : []
}

function readQuestion(query: Buffer): { name: string; type: number; end: number } | undefined {
  const labels: string[] = []
  let at = HEADER
  for (;;) {
    const length = query[at]
    if (length === undefined || length > 63) return undefined
    at += 1
    if (length === 0) break
    if (at + length > query.length) return undefined
    labels.push(query.toString('latin1', at, at + length).toLowerCase())
    at += length
  }
  if (at + 4 > query.length) return undefined
  return { name: labels.join('.'), type: query.readUInt16BE(at), end: at + 4 }
}

function record(type: number, data: Uint8Array): Buffer {
  const head = Buffer.alloc(12)
  // The name is a pointer to the question's (RFC 1035 section 4.1.4).
  head.writeUInt16BE(0xc000 | HEADER, 0)
  head.writeUInt16BE(type, 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt32BE(TTL, 6)
  head.writeUInt16BE(data.length, 10)
  return Buffer.concat([head, data])
}

/** An address's bytes. Its text must be a valid one, `::` included; no dotted IPv6 tail. */
export function addressBytes(address: string): Uint8Array {
  if (!address.includes(':')) return Uint8Array.from(address.split('.'), Number)
  const [before = '', after] = address.split('::')
  const groups = (text: string) =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
  const left = groups(before)
  const right = after === undefined ? [] : groups(after)
  const zeros = new Array<number>(8 - left.length - right.length).fill(0)
  return Uint8Array.from([...left, ...zeros, ...right].flatMap((group) => [group >> 8, group & 0xff]))
}
