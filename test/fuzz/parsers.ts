/** The property that every parser has to have: whatever comes in, a small and valid Derived comes out. */
import { setImmediate } from 'node:timers/promises'
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { Arrivals } from '../../daemon/recorder/derive/arrivals.ts'
import { derive } from '../../daemon/recorder/derive/derive.ts'
import { deriveMessages } from '../../daemon/recorder/derive/realtime.ts'
import { Derived } from '../../daemon/recorder/derived.ts'
import { requestHead, responseHead, TIME } from '../unit/derive-fixture.ts'
import { SAMPLES, SESSIONS } from './corpus.ts'
import { spoil, spoilings } from './spoil.ts'

const CODINGS: readonly (readonly [string, (bytes: Buffer) => Buffer])[] = [
  ...Array.from({ length: 12 }, () => ['', (bytes: Buffer) => bytes] as const),
  ['gzip', (bytes) => gzipSync(bytes, { level: 1 })],
  ['deflate', (bytes) => deflateSync(bytes, { level: 1 })],
  ['zstd', (bytes) => zstdCompressSync(bytes)],
  ['br', (bytes) => brotliCompressSync(bytes, { params: { 1: 1 } })],
  ['gzip, deflate', (bytes) => deflateSync(gzipSync(bytes, { level: 1 }), { level: 1 })],
]

const exchanges = fc.record({
  sample: fc.nat({ max: SAMPLES.length - 1 }),
  /** Whose response it gets: mostly its own. */
  other: fc.option(fc.nat({ max: SAMPLES.length - 1 }), { freq: 8 }),
  type: fc.option(fc.constantFrom('', 'application/json', 'text/event-stream', 'x/y'), { freq: 8 }),
  status: fc.constantFrom(200, 200, 200, 101, 400, 429, 500),
  request: spoilings,
  response: spoilings,
  coding: fc.nat({ max: CODINGS.length - 1 }),
  encoded: fc.option(spoilings, { freq: 4 }),
  piece: fc.integer({ min: 1, max: 400 }),
})

const sessions = fc.record({
  session: fc.nat({ max: SESSIONS.length - 1 }),
  client: spoilings,
  server: fc.array(spoilings, { maxLength: 3 }),
})

/** Cases between two turns of the event loop, in which Node gives free what its decompressors held. */
const BATCH = 5000
/** One in so many batches is of sessions. */
const SESSIONS_EVERY = 10

/**
 * The same seed makes the same cases.
 * @throws with the smallest case where a parser has not the property
 */
export async function fuzz(cases: number, seed: number): Promise<void> {
  for (let batch = 0; batch * BATCH < cases; batch++) {
    const options = { numRuns: Math.min(BATCH, cases - batch * BATCH), seed: seed + batch }
    if (batch % SESSIONS_EVERY === SESSIONS_EVERY - 1) fc.assert(sessionProperty, options)
    else fc.assert(exchangeProperty, options)
    await setImmediate()
  }
}

const exchangeProperty = fc.property(exchanges, (exchange) => sound(derivedOf(exchange)))

const sessionProperty = fc.property(sessions, ({ session, client, server }) => {
  const sample = SESSIONS[session]!
  const messages = {
    client: [spoil(sample.client, client).toString()],
    server: server.map((each) => spoil(sample.server, each).toString()),
  }
  return sound(deriveMessages(sample.style, messages, { provider: 'openai', time: TIME }))
})

type Exchange = typeof exchanges extends fc.Arbitrary<infer T> ? T : never

function derivedOf({ sample, other, type, status, request, response, coding, encoded, piece }: Exchange) {
  const asked = SAMPLES[sample]!
  const answered = SAMPLES[other ?? sample]!
  const [name, encode] = CODINGS[coding]!
  const whole = encode(spoil(answered.body, response))
  const body = encoded === null ? whole : spoil(whole, encoded)
  const arrivals = new Arrivals(0)
  for (let at = 0; at < body.length; at += piece) arrivals.note(Math.min(piece, body.length - at), at)
  const head = responseHead(type ?? answered.type, ...(name === '' ? [] : [`content-encoding: ${name}`]))
  return derive({
    provider: 'openai',
    style: asked.style,
    time: TIME,
    requestHead: requestHead(asked.line),
    requestBody: spoil(asked.request, request),
    response: { head: Buffer.from(head.toString().replace('200', String(status))), body, arrivals },
  })
}

/** Valid, and small whatever the input's size: the samples with all that spoiling adds have a few KB. */
function sound(derived: Derived): boolean {
  if (derived.unparsed?.startsWith('the parser failed')) throw new Error(derived.unparsed)
  Derived.parse(derived)
  return (derived.tools?.length ?? 0) <= 16 && JSON.stringify(derived).length < 32_768
}
