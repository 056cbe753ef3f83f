/** What `redact` leaves of bodies whose text comes in pieces: nothing of a secret, in whatever wire style and cutting. */
import { gunzipSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { eventReader } from '../../daemon/recorder/derive/framing.ts'
import { parseHead } from '../../daemon/recorder/derive/http-head.ts'
import type { JournalFrame } from '../../daemon/recorder/intake/journal-entry.ts'
import { type Redaction, redactedFrames } from '../../daemon/recorder/keeping/redacted-frames.ts'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import { encodePiece, messagesOf } from '../../daemon/recorder/web-socket-body.ts'
import { detect } from '../../policies/detectors/detect.ts'
import { awsMessage, connectFrame, json, responseHead, sse } from './derive-fixture.ts'

const KEY = `sk-proj-${'aB3xY9kQ'.repeat(6)}`
const PEM = `-----BEGIN PRIVATE KEY-----\n${'MIIEvgIBADAN/+=\n'.repeat(12)}-----END PRIVATE KEY-----`
const SECRETS = [KEY, PEM, `ghp_${'a1B2c3D4e5F6'.repeat(3)}`, `AKIA${'Q7RT2'.repeat(3)}X`]

interface Style {
  readonly name: string
  readonly type: string
  /** An event with a piece of text. */
  event(piece: string, i: number): unknown
  /** The text of an event. */
  text(event: unknown): unknown
  body(events: readonly unknown[]): Buffer
}

// biome-ignore lint/suspicious/noExplicitAny: events of any form, made here
type Any = any
const delta = (type: string) => (piece: string) => ({
  type,
  item_id: 'item_1',
  output_index: 0,
  delta: piece,
})
const stream = (name: string, event: Style['event'], text: (event: Any) => unknown): Style => ({
  ...{ name, event, text, type: 'text/event-stream', body: (events) => sse(...events) },
})
const lines = (events: readonly unknown[]) =>
  Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join(''))
const gemini = (piece: string) => ({ candidates: [{ content: { parts: [{ text: piece }] }, index: 0 }] })
const geminiText = (event: Any) => event.candidates?.[0].content.parts[0].text
const anthropic = (piece: string) => ({
  ...{ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: piece } },
})
const eventStream = 'application/vnd.amazon.eventstream'

const STYLES: readonly Style[] = [
  stream(
    'openai-chat',
    (piece) => ({ id: 'c', choices: [{ index: 0, delta: { content: piece }, finish_reason: null }] }),
    (event) => event.choices?.[0].delta.content,
  ),
  stream(
    'openai-chat, reasoning',
    (piece) => ({ id: 'c', choices: [{ delta: { reasoning_content: piece }, index: 0 }] }),
    (event) => event.choices?.[0].delta.reasoning_content,
  ),
  stream(
    'openai-chat, arguments',
    (piece) => ({
      choices: [{ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: piece } }] } }],
    }),
    (event) => event.choices?.[0].delta.tool_calls[0].function.arguments,
  ),
  stream('openai-responses', delta('response.output_text.delta'), (event) => event.delta),
  stream('anthropic-messages', anthropic, (event) => event.delta?.text),
  stream(
    'anthropic-messages, first piece in the start',
    (piece, i) =>
      i === 0
        ? { type: 'content_block_start', content_block: { type: 'text', text: piece } }
        : anthropic(piece),
    (event) => event.content_block?.text ?? event.delta?.text,
  ),
  stream(
    'anthropic-messages, arguments',
    (piece) => ({ type: 'content_block_delta', index: 1, delta: { partial_json: piece } }),
    (event) => event.delta?.partial_json,
  ),
  stream('gemini', gemini, geminiText),
  stream(
    'gemini, code assist',
    (piece) => ({ response: gemini(piece) }),
    (event) => geminiText(event.response),
  ),
  stream(
    'cohere-v2',
    (piece) => ({ type: 'content-delta', index: 0, delta: { message: { content: { text: piece } } } }),
    (event) => event.delta?.message.content.text,
  ),
  { name: 'gemini, an array', type: 'application/json', event: gemini, text: geminiText, body: json },
  {
    name: 'ollama',
    type: 'application/x-ndjson',
    event: (piece) => ({ model: 'm', message: { role: 'assistant', content: piece }, done: false }),
    text: (event: Any) => event.message.content,
    body: lines,
  },
  {
    name: 'ollama, generate, under another type',
    type: 'text/plain',
    event: (piece) => ({ model: 'm', response: piece }),
    text: (event: Any) => event.response,
    body: lines,
  },
  {
    name: 'bedrock-converse',
    type: eventStream,
    event: (piece) => ({ contentBlockIndex: 0, delta: { text: piece }, p: 'abc' }),
    text: (event: Any) => event.payload.delta.text,
    body: (events) => Buffer.concat(events.map((event) => awsMessage('contentBlockDelta', event))),
  },
  {
    name: 'bedrock-invoke',
    type: eventStream,
    event: (piece) => ({ bytes: json(anthropic(piece)).toString('base64'), p: 'abc' }),
    text: (event: Any) => JSON.parse(Buffer.from(event.payload.bytes, 'base64').toString()).delta.text,
    body: (events) => Buffer.concat(events.map((event) => awsMessage('chunk', event))),
  },
]

interface Made {
  readonly body: Buffer
  readonly redaction: Redaction
}

/** What is kept of a response that came in these pieces. */
function kept(head: Buffer, pieces: readonly Buffer[], isTurn = false): Made {
  const redaction: Redaction = {
    ...{ own: [], names: ['secrets'], isTurn, count: 0 },
    found: new Set(),
    unstored: new Set(),
  }
  const frames: JournalFrame[] = [
    { type: FrameType.ResponseHead, time: 0, payload: head },
    ...pieces.map((payload, i) => ({ type: FrameType.ResponseBody, time: i + 1, payload })),
    { type: FrameType.End, time: 9e9, payload: Buffer.from('{}') },
  ]
  const made = [...redactedFrames(frames, redaction)].filter(
    (frame): frame is JournalFrame => frame !== 'damaged' && frame.type === FrameType.ResponseBody,
  )
  t.strictSame(
    made.map(({ time }) => time),
    pieces.map((_, i) => i + 1),
    'each piece keeps its time',
  )
  const body = Buffer.concat(made.map(({ payload }) => payload))
  return { body, redaction }
}

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] as number
    pieces.push(bytes.subarray(at, at + size))
    at += size
  }
  return pieces
}

const textCut = (text: string, sizes: readonly number[]) =>
  cut(Buffer.from(text, 'latin1'), sizes).map((piece) => piece.toString('latin1'))

function assembled(style: Style, head: Buffer, body: Buffer): string {
  let text = ''
  const reader =
    eventReader(parseHead(head), body) ?? eventReader(parseHead(responseHead('application/jsonl')), body)
  const unread = reader?.(body, (event) => (text += style.text(event) ?? ''), [])
  if (unread !== undefined) throw new Error(unread)
  return text
}

const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 12 })
const secret = fc.constantFrom(...SECRETS)
const words = fc.string({ unit: fc.constantFrom('a', ' ', '"', '\\', '\n', '.', '7'), maxLength: 20 })
/** What no run of may be left. */
const RUN = 8

function remains(of: string, text: string): boolean {
  for (let at = 0; at + RUN <= of.length; at++) if (text.includes(of.slice(at, at + RUN))) return true
  return false
}

for (const style of STYLES) {
  t.test(`${style.name}: a secret in the stream’s text is replaced, however it is cut`, async (t) => {
    const head = responseHead(style.type)
    const zippedHead = responseHead(style.type, 'Content-Encoding: gzip')
    fc.assert(
      fc.property(words, secret, words, sizes, sizes, fc.boolean(), (before, key, after, text, wire, zip) => {
        const said = `${before} ${key} ${after}`
        const sent = style.body(textCut(said, text).map((piece, i) => style.event(piece, i)))
        const pieces = cut(zip ? gzipSync(sent, { level: 1 }) : sent, wire)
        const { body: stored, redaction } = kept(zip ? zippedHead : head, pieces)
        const body = zip ? gunzipSync(stored) : stored
        const left = assembled(style, head, body)
        const [kind] = detect([], ['secrets'], key).map((match) => match.kind)
        t.equal(redaction.unstored.size, 0)
        if (remains(key, left) || left !== `${before} [redacted:${kind}] ${after}`)
          throw new Error(`left: ${left}`)
        return redaction.count === 1 && redaction.found.has(kind as string)
      }),
      { numRuns: 150 },
    )
  })
}

t.test('several texts that come at once are each put together by itself', async () => {
  const head = responseHead('text/event-stream')
  const other = SECRETS[2] as string
  const numbered = (index: number, content: string) => ({ choices: [{ delta: { content }, index }] })
  fc.assert(
    fc.property(sizes, sizes, (first, second) => {
      const one = textCut(`one ${KEY} .`, first).map((piece) => numbered(0, piece))
      const two = textCut(`two ${other} .`, second).map((piece) => numbered(1, piece))
      const events = one.flatMap((event, i) => [event, ...two.slice(i, i + 1)]).concat(two.slice(one.length))
      const { body, redaction } = kept(head, [sse(...events)])
      const texts = ['', '']
      eventReader(parseHead(head), body)?.(
        body,
        (event: Any) => (texts[event.choices[0].index] += event.choices[0].delta.content),
        [],
      )
      // Nobody can be sure which piece goes on in which: what stands next to a secret may go with it.
      if ([KEY, other].some((key) => texts.some((text) => remains(key, text)))) throw new Error(texts.join())
      return redaction.count >= 2
    }),
    { numRuns: 200 },
  )
})

t.test(
  'a stream that was broken off within a secret keeps nothing of what can be told to be one',
  async () => {
    const head = responseHead('text/event-stream')
    const chat = STYLES[0] as Style
    fc.assert(
      fc.property(sizes, fc.nat({ max: 30 }), (text, missing) => {
        const events = textCut(`it is ${KEY}`, text).map((piece, i) => chat.event(piece, i))
        const sent = sse(...events)
        // To within the last event's text, whatever it has of it.
        const end = sent.lastIndexOf('"},"finish_reason"') - missing
        const raw = kept(head, [sent.subarray(0, end)]).body.toString()
        const contents = (from: string) =>
          [...from.matchAll(/"content":"([^"]*)/g)].map(([, one]) => one).join('')
        const said = contents(sent.toString('utf8', 0, end))
        const isSecret = detect([], ['secrets'], said).length > 0
        return !isSecret || !remains(KEY, contents(raw))
      }),
      { numRuns: 300 },
    )
  },
)

t.test(
  'a WebSocket’s turn: what its messages make together is looked into, and binary ones of JSON',
  async (t) => {
    const head = Buffer.from('HTTP/1.1 101 Switching Protocols\r\n\r\n')
    const event = delta('response.output_audio_transcript.delta')
    const close = Buffer.concat([Buffer.from([0x03, 0xe8]), Buffer.from(`bye ${KEY}`)])
    fc.assert(
      fc.property(sizes, fc.constantFrom('text', 'binary'), sizes, (text, kind, wire) => {
        const said = textCut(`it is ${KEY} .`, text).map((piece) => json(event(piece)))
        const messages = said.flatMap((message) => {
          const fragments = cut(message, wire)
          return fragments.map((bytes, i) =>
            Buffer.concat(encodePiece({ kind, rsv: 0, bytes, more: i < fragments.length - 1 })),
          )
        })
        const last = Buffer.concat(encodePiece({ kind: 'close', rsv: 0, bytes: close, more: false }))
        const { body, redaction } = kept(head, [...messages, last], true)
        const found = [...messagesOf(body)]
        const texts = found.slice(0, -1).map(({ bytes }) => JSON.parse(bytes.toString()).delta)
        t.equal(texts.join(''), 'it is [redacted:openai-key] .')
        t.equal(found.at(-1)?.bytes.toString('utf8', 2), 'bye [redacted:openai-key]')
        t.equal(redaction.unstored.size, 0)
        return redaction.count === 2
      }),
      { numRuns: 150 },
    )
  },
)

t.test('all that isn’t an event’s data is looked into, too, and all else stays as it came', async (t) => {
  const stream = (key: string) =>
    `\ufeff: ${key}\r\nevent: ${key}\r\ndata: {"a":\r\ndata: "${key}"}\r\n\r\nid\n\ndata: plain ${key}\rretry: 5\n\ndata:[DONE]`
  const { body, redaction } = kept(responseHead('text/event-stream'), cut(Buffer.from(stream(KEY)), [7]))
  t.equal(body.toString(), stream('[redacted:openai-key]'))
  t.equal(redaction.count, 4)
  const plain = Buffer.from(stream('nothing'))
  t.same(kept(responseHead('text/event-stream'), cut(plain, [5])).body, plain)
})

t.test('what can’t be looked into is not stored', async (t) => {
  const aws = awsMessage('chunk', { bytes: json(anthropic('hello')).toString('base64') })
  const cases: [string, string, Buffer][] = [
    ['Connect', 'application/connect+proto', connectFrame(0, Buffer.from('\x0a\x05hello'))],
    ['gRPC', 'application/grpc', connectFrame(0, Buffer.from('\x0a\x05hello'))],
    [
      'an escape in what is nearly JSON',
      'application/json',
      Buffer.from(`{"a": NaN, "b": "\\u0073${KEY.slice(1)}"}`),
    ],
    ['a message that was broken off', eventStream, aws.subarray(0, -3)],
    ['too many events', 'text/event-stream', Buffer.from('data:1\n\n'.repeat(250_001))],
    ['too many matches', 'text/event-stream', sse({ x: `${KEY}.`.repeat(100_001) })],
  ]
  for (const [what, type, body] of cases)
    t.strictSame([...kept(responseHead(type), [body]).redaction.unstored], ['response'], what)
})

t.test('an unfinished PEM key takes what follows of its text, and nothing else of its event', async (t) => {
  const head = responseHead('text/event-stream')
  const chat = STYLES[0] as Style
  const pieces = ['now: -----BEGIN PRIVATE KEY-----', '\nMIIEvgIBADAN', 'BgkqhkiG9w0B']
  const { body } = kept(head, [sse(...pieces.map((piece, i) => chat.event(piece, i)))])
  t.equal(assembled(chat, head, body), 'now: [redacted:private-key]')
  t.equal(body.toString().split('"finish_reason":null').length, 4)
})
