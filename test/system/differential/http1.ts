/** HTTP/1.1 in all its framings: bodies by length, in chunks, until the end; none; 1xx, trailers, pipelining. */
import type { Random } from './random.ts'
import { type Conversation, type Exchange, type Step, say } from './script.ts'

const MOST = 20 << 20
const NAMES = [
  'X-Lab',
  'x-lab',
  'X-LAB-Two',
  'Accept',
  'User-Agent',
  'x-stainless-lang',
  'Cache-Control',
  'Via',
]
const CRLF = '\r\n'

/** Fields in odd cases and orders, some twice; `of` are those that mean something. */
function fields(random: Random, of: readonly string[]): string {
  const lines = [...of]
  for (let n = random.int(0, 6); n > 0; n--) {
    const blank = random.pick(['', ' ', '  ', '\t'])
    const line = `${random.pick(NAMES)}:${blank}${random.text(random.int(0, 30))}${random.pick(['', ' '])}`
    lines.splice(random.int(0, lines.length), 0, line)
  }
  return lines.map((line) => line + CRLF).join('')
}

function chunked(random: Random, body: Buffer, pieces = random.cut(body)): Buffer {
  const extension = random.chance(0.2) ? ';name="v;a"' : ''
  const trailers = random.chance(0.3) ? `X-Checksum: ${random.text(8)}${CRLF}x-other:1${CRLF}` : ''
  const chunks = pieces
    .filter((piece) => piece.length > 0)
    .flatMap((piece) => [
      Buffer.from(`${piece.length.toString(16)}${extension}${CRLF}`),
      piece,
      Buffer.from(CRLF),
    ])
  return Buffer.concat([...chunks, Buffer.from(`0${CRLF}${trailers}${CRLF}`)])
}

interface Message {
  readonly head: Buffer
  readonly raw: Buffer
  readonly body: Buffer
}

function request(random: Random, id: number): Message & { method: string; expects: boolean } {
  const method = random.pick(['POST', 'POST', 'POST', 'GET', 'PUT', 'HEAD', 'DELETE', 'PATCH', 'OPTIONS'])
  const target = `/v1/d/${id}?q=${random.text(random.int(0, 20))}`
  const none = method === 'GET' || method === 'HEAD' || random.chance(0.1)
  const body = none ? Buffer.alloc(0) : random.bytes(random.size(MOST))
  const inChunks = !none && random.chance(0.4)
  const expects = !none && body.length > 0 && random.chance(0.1)
  const meant = ['Host: api.openai.com', `Authorization: Bearer sk-${random.text(20)}`]
  if (inChunks) meant.push('transfer-encoding: chunked')
  else if (!none) meant.push(`CoNtEnT-LeNgTh: ${body.length}`)
  if (expects) meant.push('Expect: 100-continue')
  const head = Buffer.from(`${method} ${target} HTTP/1.1${CRLF}${fields(random, meant)}${CRLF}`, 'latin1')
  return { method, expects, head, body, raw: inChunks ? chunked(random, body) : body }
}

/** Server-sent events or JSON lines, one a chunk. */
function events(random: Random): { type: string; pieces: Buffer[] } {
  const lines = random.chance(0.5)
  const pieces = Array.from({ length: random.int(1, 20) }, (_, i) => {
    const data = JSON.stringify({ i, delta: random.text(random.int(0, 200)) })
    return Buffer.from(lines ? `${data}\n` : `event: e\ndata: ${data}\n\n`)
  })
  return { type: lines ? 'application/x-ndjson' : 'text/event-stream', pieces }
}

interface Response extends Message {
  readonly untilClose: boolean
  readonly inLength: boolean
  readonly paced: readonly Buffer[] | undefined
}

function response(random: Random, method: string, last: boolean): Response {
  const answer = (
    status: string,
    meant: string[],
    body: Buffer,
    raw: Buffer,
    more: Partial<Response> = {},
  ) => ({
    head: Buffer.from(`HTTP/1.1 ${status}${CRLF}${fields(random, meant)}${CRLF}`, 'latin1'),
    body,
    raw,
    untilClose: false,
    inLength: false,
    paced: undefined,
    ...more,
  })
  const nothing = Buffer.alloc(0)
  if (method === 'HEAD') return answer('200 OK', [`Content-Length: ${random.int(0, 9999)}`], nothing, nothing)
  const kind = random.int(0, 9)
  if (kind === 0) return answer('204 No Content', [], nothing, nothing)
  if (kind === 1) return answer('304 Not Modified', ['ETag: "1"', 'content-length: 77'], nothing, nothing)
  if (kind <= 3) {
    const { type, pieces } = events(random)
    const body = Buffer.concat(pieces)
    const raw = chunked(random, body, pieces)
    const paced = pieces.length > 1 ? splitAt(raw, pieces.length) : undefined
    return answer('200 OK', [`Content-Type: ${type}`, 'Transfer-Encoding: Chunked'], body, raw, { paced })
  }
  const body = random.bytes(random.size(MOST))
  const status = random.pick(['200 OK', '201 Fine Thanks', '400 ', '429 Too Many', '500 Oh \xa1'])
  if (last && kind === 4) return answer(status, [], body, body, { untilClose: true })
  if (kind <= 6) return answer(status, ['Transfer-Encoding: chunked'], body, chunked(random, body))
  return answer(status, [`content-length: ${body.length}`], body, body, { inLength: true })
}

function splitAt(raw: Buffer, into: number): Buffer[] {
  const size = Math.ceil(raw.length / into)
  return Array.from({ length: into }, (_, i) => raw.subarray(i * size, (i + 1) * size)).filter(
    (p) => p.length > 0,
  )
}

export function http1(random: Random, first: number): Conversation {
  const exchanges: Exchange[] = []
  const client: Step[] = []
  const count = random.pick([1, 1, 2, 3, 6])
  const pipelined = random.chance(0.2)
  let received = 0
  for (let n = 0; n < count; n++) {
    const id = first + n
    const last = n === count - 1
    const asked = request(random, id)
    const answer = response(random, asked.method, last)
    const size = asked.head.length + asked.raw.length
    // Who waits for a 100 sends nothing behind it.
    const waits = asked.expects || !pipelined
    const before = waits ? received : 0
    const early = random.chance(0.1)
      ? Buffer.from(`HTTP/1.1 103 Early Hints${CRLF}Link: </x>${CRLF}${CRLF}`)
      : undefined
    const goOn = Buffer.from(`HTTP/1.1 100 Continue${CRLF}${CRLF}`)
    const provider: Step[] = []
    let lead = 0
    if (asked.expects) {
      provider.push({ after: asked.head.length, delay: 0, bytes: goOn })
      lead += goOn.length
    }
    const aborts =
      last && size > asked.head.length + 10 && !asked.expects && isByLength(asked) && random.chance(0.15)
    if (aborts) {
      const part = random.int(1, asked.raw.length - 1)
      client.push({ after: received, delay: 0, bytes: asked.head })
      client.push(...say(random, asked.raw.subarray(0, part), received))
      const heard = asked.head.length + part
      client.push({ after: 0, whenHeard: heard, delay: 0, leave: 'destroy' })
      exchanges.push({
        id,
        request: heard,
        response: 0,
        provider: [],
        stored: { request: asked.body.subarray(0, part), response: Buffer.alloc(0) },
      })
      break
    }
    if (asked.expects) {
      client.push({ after: before, delay: 0, bytes: asked.head })
      client.push(...say(random, asked.raw, received + goOn.length))
    } else {
      client.push(...say(random, Buffer.concat([asked.head, asked.raw]), before))
    }
    const whole = (early?.length ?? 0) + lead + answer.head.length + answer.raw.length
    const breaks = last && answer.inLength && answer.raw.length > 1 && random.chance(0.2)
    const part = breaks ? random.int(1, answer.raw.length - 1) : answer.raw.length
    const leaves = last && !breaks && !answer.untilClose && answer.raw.length > 5000 && random.chance(0.3)
    // An answer may begin, and be over, before the request is.
    const goesOn = !breaks && !leaves && !asked.expects
    const from = goesOn && random.chance(0.2) ? random.int(asked.head.length, size) : size
    if (early) provider.push({ after: from, delay: 0, bytes: early })
    const delay = random.chance(0.2) ? random.int(1, 5) : 0
    if (answer.paced) {
      provider.push({ after: from, delay, bytes: answer.head })
      for (const piece of answer.paced) provider.push({ after: from, delay: random.int(0, 2), bytes: piece })
    } else {
      provider.push({ after: from, delay, bytes: Buffer.alloc(0) })
      provider.push(...say(random, Buffer.concat([answer.head, answer.raw.subarray(0, part)]), from))
    }
    const heard = received + whole - (answer.raw.length - part)
    if (breaks) provider.push({ after: size, whenHeard: heard, delay: 0, leave: 'destroy' })
    if (answer.untilClose) provider.push({ after: size, delay: 0, leave: 'end' })
    const stop = leaves ? heard - random.int(1, answer.raw.length - 1) : heard
    if (leaves) client.push({ after: stop, delay: 0, leave: 'destroy' })
    exchanges.push({
      id,
      request: size,
      response: stop - received,
      provider,
      stored: {
        request: asked.body,
        response: breaks ? answer.body.subarray(0, part) : answer.body,
        ...(leaves ? { prefix: true } : {}),
      },
    })
    received = stop
  }
  return { protocol: 'http1', exchanges, client }
}

const isByLength = ({ raw, body }: Message) => raw === body
