/** The framing of WebSockets and the form in which their messages are stored, on any input, in any pieces. */

import { deflateRawSync } from 'node:zlib'
import * as fc from 'fast-check'
import t from 'tap'
import { FrameReader } from '../../daemon/proxy/web-socket/frames.ts'
import { Inflater } from '../../daemon/proxy/web-socket/inflater.ts'
import { encodePiece, messagesOf, type Piece, piecesOf } from '../../daemon/recorder/web-socket-body.ts'

interface Frame {
  readonly opcode: number
  readonly final: boolean
  readonly payload: Uint8Array
}

function encode({ opcode, final, payload }: Frame, mask: Uint8Array | undefined): Buffer {
  const { length } = payload
  const size = length < 126 ? [length] : length < 65536 ? [126, length >> 8, length & 255] : [127, 0, 0, 0, 0]
  const head = [(final ? 0x80 : 0) | opcode, (size[0] as number) | (mask ? 0x80 : 0), ...size.slice(1)]
  const long = Buffer.alloc(length < 65536 ? 0 : 4)
  if (long.length > 0) long.writeUInt32BE(length)
  const masked = payload.map((byte, i) => byte ^ (mask?.[i & 3] ?? 0))
  return Buffer.concat([Buffer.from(head), long, mask ?? Buffer.alloc(0), masked])
}

/** What a reader makes of a stream: messages whole, in order. */
function read(reader: FrameReader, chunks: readonly Buffer[]): string[] {
  const messages: string[] = []
  const open: Buffer[] = []
  for (const chunk of chunks) {
    for (const { kind, payload, ends } of reader.read(chunk)) {
      const control = kind === 'ping' || kind === 'pong' || kind === 'close'
      const all = control ? [payload] : open
      if (!control) open.push(payload)
      if (!ends) continue
      messages.push(`${kind} ${Buffer.concat(all).toString('hex')}`)
      if (!control) open.length = 0
    }
  }
  return messages
}

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = []
  let at = 0
  for (const size of sizes) {
    chunks.push(bytes.subarray(at, at + size))
    at += size
  }
  return [...chunks, bytes.subarray(at)]
}

const payload = fc.oneof(
  { weight: 8, arbitrary: fc.uint8Array({ maxLength: 300 }) },
  { weight: 1, arbitrary: fc.integer({ min: 65_000, max: 66_000 }).map((n) => new Uint8Array(n).fill(7)) },
)
/** A message in fragments, pings among them. */
const message = fc.record({
  opcode: fc.constantFrom(1, 2),
  parts: fc.array(payload, { minLength: 1, maxLength: 4 }),
  ping: fc.option(fc.uint8Array({ maxLength: 125 }), { nil: undefined }),
})
const sizes = fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 40 })
const mask = fc.option(fc.uint8Array({ minLength: 4, maxLength: 4 }), { nil: undefined })

t.test('reads the same messages however the stream is cut', async () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 6 }), sizes, mask, (messages, sizes, mask) => {
      const frames: Frame[] = []
      const expected: string[] = []
      for (const { opcode, parts, ping } of messages) {
        for (const [i, payload] of parts.entries()) {
          frames.push({ opcode: i === 0 ? opcode : 0, final: i === parts.length - 1, payload })
          if (i === 0 && ping) {
            frames.push({ opcode: 9, final: true, payload: ping })
            if (parts.length > 1) expected.push(`ping ${Buffer.from(ping).toString('hex')}`)
          }
        }
        expected.push(`${opcode === 1 ? 'text' : 'binary'} ${Buffer.concat(parts).toString('hex')}`)
        if (ping && parts.length === 1) expected.push(`ping ${Buffer.from(ping).toString('hex')}`)
      }
      const stream = Buffer.concat(frames.map((frame) => encode(frame, mask)))
      const reader = new FrameReader({ masked: mask !== undefined, rsv: 0 })
      const before = Buffer.from(stream)
      const got = read(reader, cut(stream, sizes))
      return JSON.stringify(got) === JSON.stringify(expected) && before.equals(stream) && reader.betweenFrames
    }),
    { numRuns: 2000 },
  )
})

t.test('answers any bytes with parts or a typed error', async () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      sizes,
      fc.boolean(),
      fc.nat(7),
      (bytes, sizes, masked, rsv) => {
        const reader = new FrameReader({ masked, rsv })
        try {
          for (const chunk of cut(Buffer.from(bytes), sizes)) reader.read(chunk)
        } catch (error) {
          return (error as { code?: string }).code === 'malformed_web_socket' && !reader.betweenFrames
        }
        return true
      },
    ),
    { numRuns: 20_000 },
  )
})

const pieces = fc.array(
  fc.record({
    kind: fc.constantFrom('text', 'binary', 'close'),
    rsv: fc.nat(7),
    bytes: fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes)),
    more: fc.boolean(),
  }),
  { maxLength: 8 },
) as fc.Arbitrary<Piece[]>

t.test('stored messages are read as they were said; any other bytes are no message', async () => {
  fc.assert(
    fc.property(pieces, (pieces) => {
      const body = Buffer.concat(pieces.flatMap(encodePiece))
      const plain = (list: Iterable<Piece>) =>
        JSON.stringify([...list].map((piece) => ({ ...piece, bytes: piece.bytes.toString('hex') })))
      return plain(piecesOf(body)) === plain(pieces)
    }),
  )
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      (bytes) => [...messagesOf(Buffer.from(bytes))].length >= 0,
    ),
    { numRuns: 5000 },
  )
})

t.test('what looks like an entry within a message is none', async (t) => {
  const inner = Buffer.from('text 3\nabc\n')
  const body = Buffer.concat(encodePiece({ kind: 'text', rsv: 0, bytes: inner, more: false }))
  t.same([...messagesOf(body)], [{ kind: 'text', rsv: 0, bytes: inner }])
})

/** As RFC 7692 §7.2.1 has it: without the flush's tail. */
const deflated = (text: string) => {
  const whole = deflateRawSync(Buffer.from(text), { finishFlush: 2 })
  return whole.subarray(0, -4)
}

async function inflate(...messages: Buffer[]): Promise<string> {
  const got: Buffer[] = []
  const inflater = new Inflater(true, (bytes) => got.push(bytes) > 0)
  for (const message of messages) await inflater.write(message, true)
  inflater.close()
  return Buffer.concat(got).toString()
}

t.test('inflates also what a final block ends, and nothing hides behind one', async (t) => {
  t.equal(await inflate(deflated('hello')), 'hello')
  t.equal(
    await inflate(Buffer.from([0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00])),
    'Hello',
    'RFC 7692 §7.2.3.4',
  )
  const final = deflateRawSync(Buffer.from('seen'))
  t.equal(await inflate(final, deflated('after')), 'seenafter')
  await t.rejects(inflate(Buffer.concat([final, deflated('hidden')])), { code: 'malformed_web_socket' })
  await t.rejects(inflate(Buffer.from([0xff, 0xff, 0xff])), { code: 'malformed_web_socket' })
})

t.test('gives no more than its taker takes', async (t) => {
  const got: Buffer[] = []
  const inflater = new Inflater(true, (bytes) => got.push(bytes) === 0)
  const written = inflater.write(deflated('x'.repeat(8 << 20)), true)
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.ok(Buffer.concat(got).length < 1 << 20, 'paused')
  const timer = setInterval(() => inflater.resume(), 1)
  await written
  clearInterval(timer)
  t.equal(Buffer.concat(got).length, 8 << 20)
  inflater.close()
})
