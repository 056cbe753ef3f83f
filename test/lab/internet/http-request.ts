import { type ByteReader, UnexpectedEnd } from './byte-reader.ts'

/** Limits of the fake sites (bytes): far above what any test sends, small enough to bound memory. */
const HEAD_LIMIT = 64 * 1024
const BODY_LIMIT = 64 * 1024 * 1024

/** A method begins with one of these letters here. */
const [A, Z] = [0x41, 0x5a]

export interface HttpHead {
  readonly method: string
  readonly target: string
  /** Lower-case names; of a repeated field the values joined with a comma (RFC 9110 section 5.2). */
  readonly fields: ReadonlyMap<string, string>
  readonly raw: Buffer
}

export interface HttpBody {
  /** With its chunked framing, as it came. */
  readonly raw: Buffer
  readonly content: Buffer
}

/** The next request's head on a connection; undefined where the client has closed it. */
export async function readHead(reader: ByteReader): Promise<HttpHead | undefined> {
  const first = await reader.peek()
  // TLS, for one, is told at once rather than when 64 KiB have come without the end of a head.
  if (first !== undefined && (first < A || first > Z)) throw new Error('this is no HTTP/1.1')
  const raw = await reader.through('\r\n\r\n', HEAD_LIMIT)
  return raw === undefined ? undefined : parseHead(raw)
}

export function parseHead(raw: Buffer): HttpHead {
  const [requestLine = '', ...lines] = raw.toString('latin1').trimEnd().split('\r\n')
  const parts = /^([A-Z]+) (\S+) HTTP\/1\.1$/.exec(requestLine)
  if (parts === null) throw new Error(`not an HTTP/1.1 request line: ${JSON.stringify(requestLine)}`)
  const fields = new Map<string, string>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    if (colon <= 0) throw new Error(`not a header field: ${JSON.stringify(line)}`)
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    const before = fields.get(name)
    fields.set(name, before === undefined ? value : `${before}, ${value}`)
  }
  return { method: parts[1]!, target: parts[2]!, fields, raw }
}

/** The body that belongs to a head, by RFC 9112 section 6. */
export async function readBody(reader: ByteReader, head: HttpHead): Promise<HttpBody> {
  const coding = head.fields.get('transfer-encoding')
  const length = head.fields.get('content-length')
  if (coding !== undefined && length !== undefined) throw new Error('both a length and a transfer coding')
  if (coding?.toLowerCase() === 'chunked') return readChunks(reader)
  if (coding !== undefined) throw new Error(`unknown transfer coding ${coding}`)
  if (length === undefined) return { raw: Buffer.alloc(0), content: Buffer.alloc(0) }
  if (!/^\d{1,10}$/.test(length)) throw new Error(`not a length: ${length}`)
  const raw = await reader.exactly(within(Number(length)))
  return { raw, content: raw }
}

async function readChunks(reader: ByteReader): Promise<HttpBody> {
  const raw: Buffer[] = []
  const content: Buffer[] = []
  let total = 0
  for (;;) {
    const sizeLine = await reader.through('\r\n', HEAD_LIMIT)
    if (sizeLine === undefined) throw new UnexpectedEnd()
    const digits = /^([0-9a-f]{1,8})[;\r]/i.exec(sizeLine.toString('latin1'))?.[1]
    if (digits === undefined) throw new Error('not a chunk size')
    const size = Number.parseInt(digits, 16)
    raw.push(sizeLine)
    if (size === 0) break
    total = within(total + size)
    const chunk = await reader.exactly(size + 2)
    raw.push(chunk)
    content.push(chunk.subarray(0, size))
  }
  for (let line: Buffer | undefined; line?.length !== 2; ) {
    line = await reader.through('\r\n', HEAD_LIMIT)
    if (line === undefined) throw new UnexpectedEnd()
    raw.push(line)
  }
  return { raw: Buffer.concat(raw), content: Buffer.concat(content) }
}

function within(length: number): number {
  if (length > BODY_LIMIT) throw new Error(`a body of ${length} bytes is more than the laboratory takes`)
  return length
}
