import { brotliCompressSync, constants, createGzip } from 'node:zlib'
import t from 'tap'
import { Arrivals } from '../../daemon/recorder/derive/arrivals.ts'
import { AWS_STREAM, awsMessage, derived, responseHead, sse } from './derive-fixture.ts'

const START = 1_000_000
const anthropic = { provider: 'anthropic', line: 'POST /v1/messages' }
const events = [
  sse({ type: 'message_start', message: { id: 'msg_1' } }),
  sse({ type: 'ping' }),
  sse({ type: 'content_block_delta', delta: { text: 'a' } }),
  sse({ type: 'content_block_delta', delta: { text: 'b' } }),
  sse({ type: 'message_stop' }),
]

/** Pieces that come `times` milliseconds after the start. */
function arriving(pieces: readonly Buffer[], times: readonly number[]) {
  const arrivals = new Arrivals(START)
  for (const [i, piece] of pieces.entries()) arrivals.note(piece.length, START + times[i]!)
  return { body: Buffer.concat(pieces), arrivals }
}

t.test('first byte, first token and gaps of a stream', async (t) => {
  const head = responseHead('text/event-stream')
  const found = derived({ ...anthropic, head, ...arriving(events, [100, 110, 150.5, 152, 252]) })
  t.equal(found['gen_ai.response.time_to_first_chunk'], 0.1)
  t.same(found.streaming, { pieces: 5, firstToken: 150.5, gapP50: 10, gapMax: 100 })
})

t.test('the first token comes with the piece that completes its event', async (t) => {
  const head = responseHead('text/event-stream')
  const whole = Buffer.concat(events)
  const at = whole.indexOf('"a"')
  const inside = [whole.subarray(0, at), whole.subarray(at, at + 4), whole.subarray(at + 4)]
  t.equal(derived({ ...anthropic, head, ...arriving(inside, [1, 2, 3]) }).streaming?.firstToken, 3)
  const merged = [whole.subarray(0, at + 60), whole.subarray(at + 60)]
  t.equal(derived({ ...anthropic, head, ...arriving(merged, [1, 2]) }).streaming?.firstToken, 1)
  const none = arriving(events.slice(0, 2), [1, 2])
  t.same(derived({ ...anthropic, head, ...none }).streaming, { pieces: 2, gapP50: 1, gapMax: 1 })
})

/** Each event compressed and flushed, as a server does that streams gzip. */
async function gzipped(pieces: readonly Buffer[]): Promise<Buffer[]> {
  const gzip = createGzip({ flush: constants.Z_SYNC_FLUSH })
  const parts: Buffer[] = []
  for (const piece of pieces) {
    const out: Buffer[] = []
    const take = (bytes: Buffer) => out.push(bytes)
    gzip.on('data', take)
    await new Promise<void>((resolve) => gzip.write(piece, () => gzip.flush(() => resolve())))
    gzip.off('data', take)
    parts.push(Buffer.concat(out))
  }
  return parts
}

t.test('a compressed stream has a first token, too', async (t) => {
  const head = responseHead('text/event-stream', 'content-encoding: gzip')
  const pieces = await gzipped([...events, ...Array.from({ length: 50 }, () => events[3]!)])
  const times = pieces.map((_, i) => 10 + 5 * i)
  t.equal(derived({ ...anthropic, head, ...arriving(pieces, times) }).streaming?.firstToken, 20)
  const late = await gzipped([...Array.from({ length: 77 }, () => events[1]!), events[2]!, events[4]!])
  const found = derived({
    ...anthropic,
    head,
    ...arriving(
      late,
      late.map((_, i) => i),
    ),
  })
  t.equal(found.streaming?.firstToken, 77)
  const body = brotliCompressSync(Buffer.concat(events))
  const brotli = responseHead('text/event-stream', 'content-encoding: br')
  t.equal(derived({ ...anthropic, head: brotli, ...arriving([body], [7]) }).streaming?.firstToken, 7)
})

t.test('other framings have times, JSON documents have none', async (t) => {
  const bedrock = { provider: 'bedrock', line: 'POST /model/m/converse-stream', head: AWS_STREAM }
  const pieces = [awsMessage('messageStart', {}), awsMessage('contentBlockDelta', { delta: { text: 'x' } })]
  t.same(derived({ ...bedrock, ...arriving(pieces, [3, 4.25]) }).streaming, {
    ...{ pieces: 2, firstToken: 4.25, gapP50: 1.25, gapMax: 1.25 },
  })
  const document = derived({ ...anthropic, ...arriving([Buffer.from('{}')], [5]) })
  t.notOk('streaming' in document)
  t.notOk('gen_ai.response.time_to_first_chunk' in document)
})

t.test('a clock that jumps back, or says nothing, gives no negative times', async (t) => {
  const head = responseHead('text/event-stream')
  const back = derived({ ...anthropic, head, ...arriving(events, [-500, -600, 10, 5, 20]) })
  t.same(back.streaming, { pieces: 5, firstToken: 10, gapP50: 0, gapMax: 610 })
  t.equal(back['gen_ai.response.time_to_first_chunk'], 0)
  const nonsense = derived({ ...anthropic, head, ...arriving(events, [Number.NaN, 1, 2, Infinity, 3]) })
  t.same(JSON.parse(JSON.stringify(nonsense.streaming)), { pieces: 5, firstToken: 2, gapP50: 0, gapMax: 1 })
})

t.test('a body in a million pieces is a bounded number of times', async (t) => {
  const arrivals = new Arrivals(START)
  for (let i = 0; i < 1_000_000; i++) arrivals.note(1, START + i)
  t.ok(arrivals.ends.length <= 65_536)
  t.match(arrivals.streaming(undefined), { pieces: 1_000_000, gapP50: 1, gapMax: 1 })
})
