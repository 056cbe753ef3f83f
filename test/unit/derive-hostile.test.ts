/**
 * Bodies made to take long or to take much memory. The bounds are far above what these take (a second at most), and far
 * below what a parser takes that is quadratic in them.
 */
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { Arrivals } from '../../daemon/recorder/derive/arrivals.ts'
import { awsMessage, connectFrame, derived, json, responseHead } from './derive-fixture.ts'

const SIZE = 8 << 20
const MAX_MS = 15_000
const MAX_ANSWER = 1024

function filled(piece: string | Buffer, start = ''): Buffer {
  const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece
  return Buffer.concat([Buffer.from(start), Buffer.alloc(SIZE, bytes)])
}

const messages = '/v1/messages'
const gemini = '/v1beta/models/m:streamGenerateContent'
const converse = '/model/m/converse-stream'
const chat = '/aiserver.v1.ChatService/StreamChat'
const toolStart = json({ type: 'content_block_start', content_block: { type: 'tool_use', name: 'x' } })
const shapes: Record<string, readonly (readonly [name: string, path: string, body: Buffer])[]> = {
  'text/event-stream': [
    ['empty lines', messages, filled('\n')],
    ['carriage returns', messages, filled('\r')],
    ['tiny events', messages, filled('data:1\n\n')],
    ['one event of many lines', messages, filled('data:\n')],
    ['one event that opens arrays', messages, filled('data:{"a":[\n')],
    ['one line', messages, filled('x', 'data: ')],
    ['no fields', messages, filled('a\n')],
    ['tool calls', messages, filled(`data:${toolStart}\n\n`)],
    ['one chunk of choices', '/v1/chat/completions', filled('{"finish_reason":"x"},', 'data:{"choices":[')],
  ],
  'application/x-ndjson': [
    ['tiny lines', '/api/chat', filled('1\n')],
    ['empty lines', '/api/chat', filled('\n')],
  ],
  'application/json': [
    ['an array of numbers', gemini, filled('1,', '[')],
    ['nested arrays', gemini, filled('[')],
    ['an array that ends and ends', gemini, filled(']', '[')],
    ['backslashes', gemini, filled('\\', '["')],
    ['quotes', gemini, filled('"', '[')],
    ['escaped quotes', messages, filled('\\"', '{"a":"')],
    ['nested objects', messages, filled('{"a":')],
  ],
  'application/vnd.amazon.eventstream': [
    ['tiny messages', converse, filled(awsMessage('x', 1))],
    ['long headers', converse, filled(awsMessage('a'.repeat(30_000), 1))],
    ['no messages', converse, filled('\0')],
    [
      'chunks',
      '/model/anthropic.x/invoke-with-response-stream',
      filled(awsMessage('chunk', { bytes: 'e30=' })),
    ],
  ],
  'application/connect+proto': [
    ['empty frames', chat, filled(connectFrame(0, Buffer.alloc(0)))],
    ['ends that are bombs', chat, filled(connectFrame(3, gzipSync(Buffer.alloc(1 << 20))))],
  ],
}

for (const [type, bodies] of Object.entries(shapes)) {
  for (const [name, path, body] of bodies) {
    t.test(`${type}, ${SIZE >> 20} MiB: ${name}`, async (t) => {
      const arrivals = new Arrivals(0)
      for (let at = 0; at < body.length; at += 256) arrivals.note(Math.min(256, body.length - at), at)
      const began = performance.now()
      const found = derived({
        ...{ provider: 'x', style: 'connect-proto', line: `POST ${path}` },
        ...{ request: body, head: responseHead(type), body, arrivals },
      })
      t.ok(performance.now() - began < MAX_MS, `${Math.round(performance.now() - began)} ms`)
      t.ok(JSON.stringify(found).length < MAX_ANSWER)
    })
  }
}

t.test('a compressed stream whose output comes late is not unpacked over and over', async (t) => {
  const late = Buffer.concat([
    filled(': nothing\n\n'),
    Buffer.from('data: {"type":"content_block_delta"}\n\n'),
  ])
  const body = gzipSync(late)
  const arrivals = new Arrivals(0)
  for (let at = 0; at < body.length; at++) arrivals.note(1, at)
  const began = performance.now()
  const head = responseHead('text/event-stream', 'content-encoding: gzip')
  const found = derived({ provider: 'x', line: 'POST /v1/messages', head, body, arrivals })
  t.ok(performance.now() - began < MAX_MS, `${Math.round(performance.now() - began)} ms`)
  t.match(found.streaming, { pieces: body.length })
  t.notOk(found.streaming && 'firstToken' in found.streaming, 'rather no answer')
})
