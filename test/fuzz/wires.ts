/**
 * The property that the proxy's own parsers have to have: whatever comes, in whatever pieces, ends in an error of their
 * own or in the same result as in one piece. Spoiled by a generator of its own: a case takes microseconds.
 */
import { type FrameHandler, Receiver } from '../../daemon/proxy/h2/receiver.ts'
import { bodyReader } from '../../daemon/proxy/http/body.ts'
import { readTarget, requestFraming, responseFraming } from '../../daemon/proxy/http/framing.ts'
import {
  HeadReader,
  parseRequestHead,
  parseResponseHead,
  parseTrailers,
} from '../../daemon/proxy/http/head.ts'
import { ProxyError } from '../../daemon/proxy/proxy-error.ts'
import { SNIFF_LIMIT, sniff } from '../../daemon/proxy/sniff/sniff.ts'
import { DEFLATED, FrameReader } from '../../daemon/proxy/web-socket/frames.ts'
import { framedAws } from '../../daemon/recorder/keeping/framed-aws.ts'
import { framedSse } from '../../daemon/recorder/keeping/framed-sse.ts'
import { HpackDecoder, readFirstHeaders } from '../../daemon/wire/hpack.ts'
import { redactedStream } from '../../policies/stream-content.ts'
import { AWS, CHUNKED, H2, HEADS, HELLOS, HPACK, SSE, WEB_SOCKET } from './wire-samples.ts'

interface Wire {
  readonly name: string
  readonly samples: readonly Buffer[]
  /** What it makes of the bytes; throws its own errors. */
  read(pieces: readonly Buffer[]): string
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')

export const WIRES: readonly Wire[] = [
  { name: 'heads of HTTP/1.1', samples: HEADS, read: readHeads },
  { name: 'chunked bodies', samples: CHUNKED, read: readChunked },
  { name: 'frames of HTTP/2', samples: H2, read: readH2 },
  { name: 'HPACK', samples: HPACK, read: readHpack },
  { name: 'frames of WebSockets', samples: WEB_SOCKET, read: readWebSocket },
  { name: 'first bytes of a connection', samples: HELLOS, read: readHello },
  { name: 'bodies that are redacted', samples: [...SSE, ...AWS], read: readFramed },
]

function readHeads(pieces: readonly Buffer[]): string {
  const reader = new HeadReader()
  let all = Buffer.alloc(0)
  for (const piece of pieces) {
    all = Buffer.concat([all, piece])
    const found = reader.read(piece, 0)
    if (!found) continue
    const isAnswer = found.head.subarray(0, 5).equals(Buffer.from('HTTP/'))
    if (!isAnswer) {
      const head = parseRequestHead(found.head)
      return JSON.stringify([head.fields, requestFraming(head), readTarget(head)])
    }
    const head = parseResponseHead(found.head)
    return JSON.stringify([head.fields, responseFraming(head, 'GET')])
  }
  return 'more'
}

function readChunked(pieces: readonly Buffer[]): string {
  const body = bodyReader({ kind: 'chunked' })
  let entity = ''
  for (const piece of pieces) {
    const into: Buffer[] = []
    if (!body.done) body.read(piece, 0, into)
    entity += into.map(hex).join('')
  }
  return JSON.stringify([entity, body.done, body.trailers && parseTrailers(body.trailers)])
}

function readH2(pieces: readonly Buffer[]): string {
  let said = ''
  const say = (what: string, ...more: unknown[]) => {
    said += `${what} ${JSON.stringify(more, (_key, value) => (Buffer.isBuffer(value) ? hex(value) : value))}\n`
  }
  const handler: FrameHandler = {
    mayTake: () => true,
    headers: (stream, { fields, endStream }) => say('headers', stream, fields, endStream),
    data: (stream, { content, endStream }) => say('data', stream, hex(content), endStream),
    reset: (stream, code) => say('reset', stream, code),
    settings: (entries) => say('settings', entries),
    settingsAcknowledged: () => say('acknowledged'),
    ping: ({ payload }) => say('ping', hex(payload)),
    goAway: (last, code, debug) => say('goaway', last, code, hex(debug)),
    windowUpdate: (stream, increment) => say('window', stream, increment),
    altSvc: ({ payload }) => say('altsvc', hex(payload)),
  }
  const receiver = new Receiver(handler, true)
  receiver.resume()
  for (const piece of pieces) receiver.push(piece)
  return said
}

/** A block is read whole, twice by one decoder: the second time from a table that has the first's fields. */
function readHpack(pieces: readonly Buffer[]): string {
  const block = Buffer.concat(pieces)
  const decoder = new HpackDecoder()
  const once: string[] = []
  const whole = decoder.decode(block, ({ name, value }) => once.push(name, value))
  decoder.decode(block, () => {})
  const first = readFirstHeaders(block)
  if (whole && first.length * 2 !== once.length) throw new Error('two readings of one block')
  return `${whole} ${once.join()}`
}

function readWebSocket(pieces: readonly Buffer[]): string {
  const masked = (Buffer.concat(pieces)[1] ?? 0) >= 0x80
  const reader = new FrameReader({ masked, rsv: DEFLATED })
  let said = ''
  for (const piece of pieces) {
    let last = 0
    for (const { kind, rsv, payload, ends, at } of reader.read(piece)) {
      if (at < last || at > piece.length) throw new Error('a place that is none')
      last = at
      said += hex(payload)
      if (ends) said += ` ${kind} ${rsv}\n`
    }
  }
  return said
}

function readHello(pieces: readonly Buffer[]): string {
  let all = Buffer.alloc(0)
  for (const piece of pieces) {
    all = Buffer.concat([all, piece])
    const found = sniff(all)
    if (found === 'more' && all.length >= SNIFF_LIMIT) throw new Error('more than it may ask for')
  }
  return JSON.stringify(sniff(Buffer.concat(pieces), true))
}

/** Taken apart and put together again it is what it was, and nothing that is looked for is left. */
function readFramed(pieces: readonly Buffer[]): string {
  const text = Buffer.concat(pieces).toString('utf8')
  const sse = framedSse(Buffer.from(text))
  if (sse.with(sse.texts.map((one) => one.text)).toString('utf8') !== text)
    throw new Error('not the same again')
  const redacted = redactedStream(sse.texts, [], ['secrets'])
  const made = 'unreadable' in redacted ? '' : sse.with(redacted.texts).toString('utf8')
  const bytes = Buffer.concat(pieces)
  const aws = framedAws(bytes)
  if (aws && !aws.with(aws.texts.map((one) => one.text)).equals(bytes)) throw new Error('not the same again')
  return made
}

/** Small and fast, and the same for the same seed (xorshift32). */
class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 1
  }

  below(limit: number): number {
    this.#state ^= this.#state << 13
    this.#state ^= this.#state >>> 17
    this.#state ^= this.#state << 5
    return (this.#state >>> 0) % limit
  }
}

/** What parsers of lines and lengths stumble over. */
const TOKENS = [
  ...['\r\n', '\n', '\r', '\r\n\r\n', ':', ' ', '\t', '0', 'f', '-1', ';', ',', 'chunked', '\0'],
  ...[
    'Content-Length: 5\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Transfer-Encoding: x\r\n',
    'ffffffffffff\r\n',
  ],
  ...['ÿÿÿÿ', '\u0080', '\u007f', '\u0000\u0000\u0000\u0000', 'data: ', '{"a":"', '\\', '"}'],
].map((token) => Buffer.from(token, 'latin1'))

function spoiled(samples: readonly Buffer[], chance: Chance): Buffer {
  if (chance.below(12) === 0)
    return Buffer.from(Array.from({ length: chance.below(80) }, () => chance.below(256)))
  let bytes = Buffer.from(samples[chance.below(samples.length)] as Buffer)
  for (let times = chance.below(4); times > 0; times--) {
    const at = chance.below(bytes.length + 1)
    const size = chance.below(16)
    const before = bytes.subarray(0, at)
    switch (chance.below(7)) {
      case 0:
      case 1:
        if (at < bytes.length) bytes[at] = chance.below(256)
        break
      case 2:
        bytes = Buffer.from(before)
        break
      case 3:
        bytes = Buffer.concat([before, bytes.subarray(at + size)])
        break
      case 4:
        bytes = Buffer.concat([before, bytes.subarray(at, at + size), bytes.subarray(at)])
        break
      case 5:
        bytes = Buffer.concat([before, TOKENS[chance.below(TOKENS.length)] as Buffer, bytes.subarray(at)])
        break
      case 6:
        bytes = Buffer.concat([before, samples[chance.below(samples.length)] as Buffer])
        break
    }
  }
  return bytes
}

function cut(bytes: Buffer, chance: Chance): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + chance.below(chance.below(3) === 0 ? 3 : 40)
    pieces.push(bytes.subarray(at, at + size))
    at += size
  }
  return pieces
}

/** @throws with the case in hex where a parser has not the property */
export function fuzzWire({ name, samples, read }: Wire, cases: number, seed: number): void {
  const chance = new Chance(seed)
  for (let n = 0; n < cases; n++) {
    const bytes = spoiled(samples, chance)
    const pieces = cut(bytes, chance)
    const where = () => `${name}: ${bytes.toString('hex')} in ${pieces.map(({ length }) => length).join()}`
    const whole = outcome(read, [Buffer.from(bytes)], where)
    const inPieces = outcome(read, pieces, where)
    if (whole !== inPieces) throw new Error(`${where()}: ${whole} in one piece, else ${inPieces}`)
  }
}

/** Which of two errors comes first may hang on the pieces: that there is one may not. */
function outcome(read: Wire['read'], pieces: readonly Buffer[], where: () => string): string {
  try {
    return read(pieces)
  } catch (error) {
    if (error instanceof ProxyError) return 'refused'
    throw new Error(where(), { cause: error })
  }
}
