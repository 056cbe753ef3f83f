/** Content that is compressed, broken off, sent under another type, or a bomb. */
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import t from 'tap'
import { chat, chunk, json, responseHead, STOP, sse, USAGE } from './derive-fixture.ts'

t.test('every content coding is undone, and streams cut within one give what came', async (t) => {
  const body = sse(chunk({}), STOP, USAGE)
  const codings = {
    gzip: gzipSync(body),
    'x-gzip': gzipSync(body),
    br: brotliCompressSync(body),
    zstd: zstdCompressSync(body),
    deflate: deflateSync(body),
    'deflate ': deflateRawSync(body),
    'gzip, br': brotliCompressSync(gzipSync(body)),
    'zstd ': Buffer.concat([chunk({}), STOP, USAGE].map((part) => zstdCompressSync(sse(part)))),
  }
  for (const [coding, bytes] of Object.entries(codings)) {
    const head = responseHead('text/event-stream', `Content-Encoding: ${coding}`)
    t.equal(chat({ head, body: bytes })['gen_ai.usage.output_tokens'], 40, coding)
  }
})

t.test('what stands behind the end of compressed content is not passed over', async (t) => {
  const compressors = { gzip: gzipSync, br: brotliCompressSync, zstd: zstdCompressSync, deflate: deflateSync }
  for (const [coding, compress] of Object.entries(compressors)) {
    const head = responseHead('application/json', `Content-Encoding: ${coding}`)
    const body = Buffer.concat([compress(json({ id: 'a' })), Buffer.from('more')])
    // What begins another frame or member is read as one, and found to be none.
    t.match(
      chat({ head, body }).unparsed,
      new RegExp(`^response: (damaged|something stands behind the) ${coding} content`),
    )
  }
})

t.test('a body is read by what it is where its type says something else', async (t) => {
  const type = (name: string, body: Buffer) => chat({ head: responseHead(name), body })
  const usage = { model: 'm', usage: { prompt_tokens: 1, completion_tokens: 2 } }
  const lines = Buffer.from(`${JSON.stringify(chunk({}))}\n${JSON.stringify(usage)}\n`)
  t.equal(type('application/json', sse(chunk({}), USAGE))['gen_ai.usage.output_tokens'], 40)
  t.equal(type('application/json', lines)['gen_ai.usage.output_tokens'], 2)
  t.equal(type('text/event-stream', json(usage))['gen_ai.usage.output_tokens'], 2)
  t.equal(type('text/event-stream', json({ error: { code: 'busy' } }))['error.type'], 'busy')
  t.equal(type('text/plain', Buffer.from(JSON.stringify(usage, null, 2)))['gen_ai.usage.output_tokens'], 2)
  t.equal(type('text/event-stream', Buffer.from('<html>no</html>')).unparsed, 'response: no events')
})

t.test('compressed content that was broken off gives what can be decoded', async (t) => {
  const whole = sse(...Array.from({ length: 500 }, (_, i) => chunk({ n: i * 7919 })))
  const codings = {
    gzip: gzipSync(whole),
    deflate: deflateSync(whole),
    br: brotliCompressSync(whole),
    'gzip, br': brotliCompressSync(gzipSync(whole)),
  }
  const cut = (coding: string, bytes: Buffer) =>
    chat({
      head: responseHead('text/event-stream', `content-encoding: ${coding}`),
      body: bytes.subarray(0, bytes.length >> 1),
    })
  for (const [coding, bytes] of Object.entries(codings)) {
    t.equal(cut(coding, bytes)['gen_ai.response.id'], 'chatcmpl-9', coding)
  }
  t.equal(
    cut('zstd', zstdCompressSync(whole)).unparsed,
    'response: nothing of it can be decoded',
    'one block',
  )
})

t.test('bombs are cut off and named', async (t) => {
  const head = (coding: string) => responseHead('application/json', `content-encoding: ${coding}`)
  const zeros = Buffer.alloc(64 << 20)
  t.match(chat({ head: head('gzip'), body: gzipSync(zeros) }).unparsed, /more than 32 MiB/)
  t.match(chat({ head: head('zstd'), body: zstdCompressSync(zeros) }).unparsed, /more than 32 MiB/)
  t.match(chat({ head: head('gzip,gzip,gzip'), body: Buffer.from('x') }).unparsed, /3 content codings/)
  const many = `[${'[],'.repeat(1_000_000)}[]]`
  t.match(chat({ body: Buffer.from(`{"a":${many}}`) }).unparsed, /more than 500000 JSON values/)
  t.match(chat({ body: Buffer.from(many) }).unparsed, /more than 250000 events/)
  const commas = json({ id: 'x', text: '\\",[{'.repeat(1_000_000) })
  t.equal(chat({ body: commas })['gen_ai.response.id'], 'x', 'what stands in strings is no value')
  t.notOk('gen_ai.response.id' in chat({ body: Buffer.from('['.repeat(400_000)) }))
})
