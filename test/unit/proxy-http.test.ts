/** Heads and bodies: strict, incremental, the same however the bytes are cut. */
import fc from 'fast-check'
import t from 'tap'
import { bodyReader } from '../../daemon/proxy/http/body.ts'
import {
  asksForUpgrade,
  type Framing,
  keepAliveSeconds,
  persists,
  readTarget,
  requestFraming,
  responseFraming,
} from '../../daemon/proxy/http/framing.ts'
import { HeadReader, parseRequestHead, parseResponseHead } from '../../daemon/proxy/http/head.ts'
import { ProxyError } from '../../daemon/proxy/proxy-error.ts'
import { cpuMsOf } from './cpu-time.ts'

const code = (run: () => unknown): string => {
  try {
    run()
    return 'no error'
  } catch (error) {
    return error instanceof ProxyError ? error.code : `no ProxyError: ${error}`
  }
}

/** Reads one head out of pieces; says what is left over, too. */
function readHead(pieces: readonly Buffer[]): string {
  const reader = new HeadReader()
  for (const [i, piece] of pieces.entries()) {
    let found: ReturnType<HeadReader['read']>
    const error = code(() => {
      found = reader.read(piece, 0)
    })
    if (error !== 'no error') return error
    if (!found) continue
    const rest = Buffer.concat([piece.subarray(found.next), ...pieces.slice(i + 1)])
    return JSON.stringify([found.head.toString('latin1'), rest.toString('latin1')])
  }
  return 'more'
}

/** Reads one body out of pieces. */
function readBody(framing: Framing, pieces: readonly Buffer[]): string {
  const body = bodyReader(framing)
  const entity: Buffer[] = []
  const raw: Buffer[] = []
  let rest = ''
  for (const piece of pieces) {
    let end = 0
    const error = code(() => {
      end = body.done ? 0 : body.read(piece, 0, entity)
    })
    if (error !== 'no error') return error
    raw.push(piece.subarray(0, end))
    rest += piece.toString('latin1', end)
  }
  return JSON.stringify([
    Buffer.concat(entity).toString('latin1'),
    Buffer.concat(raw).toString('latin1'),
    rest,
    body.done,
    body.trailers,
  ])
}

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const points = [...new Set(at.map((n) => n % (bytes.length + 1)))].sort((a, b) => a - b)
  return [...points, bytes.length]
    .map((end, i) => bytes.subarray(i === 0 ? 0 : points[i - 1], end))
    .filter((p) => p.length > 0)
}

const wireText = fc.stringMatching(/^[ -~\r\n\t\0]{0,80}$/)

t.test('a head is the same wherever it is cut, whatever it holds', async (t) => {
  const head = Buffer.from('POST /a HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\nbody\r\n\r\n\n\nmore')
  const whole = readHead([head])
  t.match(whole, /body/)
  for (let i = 1; i < head.length; i++) t.equal(readHead([head.subarray(0, i), head.subarray(i)]), whole)
  t.equal(readHead([...head].map((byte) => Buffer.from([byte]))), whole)
  fc.assert(
    fc.property(wireText, fc.array(fc.nat()), (text, at) => {
      const bytes = Buffer.from(`GET / HTTP/1.1\r\n${text}\r\n\r\nrest`, 'latin1')
      return readHead(cut(bytes, at)) === readHead([bytes])
    }),
    { numRuns: 500 },
  )
})

t.test('a chunked body is the same wherever it is cut, and its entity is what was chunked', async (t) => {
  const framing: Framing = { kind: 'chunked' }
  const body = Buffer.from('5\r\nhello\r\n00a;x=y\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nNEXT')
  const whole = readBody(framing, [body])
  t.equal(
    whole,
    JSON.stringify(['hello0123456789', body.toString().slice(0, -4), 'NEXT', true, 'X-Sum: 1\r\n']),
  )
  for (let i = 1; i < body.length; i++)
    t.equal(readBody(framing, [body.subarray(0, i), body.subarray(i)]), whole)
  t.equal(
    readBody(
      framing,
      [...body].map((byte) => Buffer.from([byte])),
    ),
    whole,
  )
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 })),
      fc.array(fc.nat()),
      (chunks, at) => {
        const parts = chunks.map((c) =>
          Buffer.concat([Buffer.from(`${c.length.toString(16)}\r\n`), c, Buffer.from('\r\n')]),
        )
        const bytes = Buffer.concat([...parts, Buffer.from('0\r\n\r\n')])
        const [entity, raw, rest, done] = JSON.parse(readBody(framing, cut(bytes, at)))
        return (
          entity === Buffer.concat(chunks).toString('latin1') &&
          raw === bytes.toString('latin1') &&
          rest === '' &&
          done
        )
      },
    ),
    { numRuns: 300 },
  )
  fc.assert(
    fc.property(wireText, fc.array(fc.nat()), (text, at) => {
      const bytes = Buffer.from(`3\r\nabc\r\n${text}`, 'latin1')
      if (bytes.length === 0) return true
      const cutUp = readBody(framing, cut(bytes, at))
      return cutUp === readBody(framing, [bytes])
    }),
    { numRuns: 500 },
  )
})

t.test('chunk sizes may begin with zeros, and blanks may stand before an extension', async (t) => {
  const body = `${'0'.repeat(20)}5\r\nhello\r\n1 \t; a = "b;c"\r\n!\r\n000\r\n\r\n`
  const [entity, raw, rest, done] = JSON.parse(readBody({ kind: 'chunked' }, [Buffer.from(body)]))
  t.same([entity, raw, rest, done], ['hello!', body, '', true])
})

t.test('a body of known length takes its bytes and no more', async (t) => {
  const bytes = Buffer.from('hello world')
  for (let length = 0; length <= bytes.length; length++) {
    const [entity, raw, rest, done] = JSON.parse(readBody({ kind: 'length', length }, cut(bytes, [1, 4, 7])))
    t.same(
      [entity, raw, rest, done],
      [
        bytes.toString().slice(0, length),
        bytes.toString().slice(0, length),
        bytes.toString().slice(length),
        true,
      ],
    )
  }
})

t.test('refuses chunks that another parser could read differently', async (t) => {
  const bad = [
    '5 \r\nhello\r\n',
    `${'0'.repeat(300)}5\r\nhello\r\n`,
    ' 5\r\nhello\r\n',
    '0x5\r\nhello\r\n',
    '+5\r\nhello\r\n',
    '5\nhello\n',
    '5\r\nhelloX\r\n',
    '5\r\nhello\n',
    '\r\n',
    'g\r\n',
    '-1\r\n',
    '1000000000000\r\n',
    '5;a\nb\r\nhello\r\n',
    `5;${'a'.repeat(300)}\r\n`,
    '0\r\nContent-Length: 5\r\n\r\n',
    '0\r\nTransfer-Encoding: chunked\r\n\r\n',
    `0\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`,
  ]
  for (const text of bad)
    t.equal(
      readBody({ kind: 'chunked' }, [Buffer.from(text)]),
      'malformed_chunk',
      JSON.stringify(text.slice(0, 30)),
    )
  t.equal(readBody({ kind: 'chunked' }, [Buffer.from('0\r\n folded\r\n\r\n')]), 'malformed_field')
})

const request = (text: string) => parseRequestHead(Buffer.from(`${text}\r\n\r\n`, 'latin1'))
const response = (text: string) => parseResponseHead(Buffer.from(`${text}\r\n\r\n`, 'latin1'))

t.test('parses a head without changing it', async (t) => {
  const head = request('POST /a?b=c HTTP/1.1\r\nHoSt: x.y\r\nX-Empty:\r\nX-Odd:  \t a:b \xff\t \r\nX-Odd: 2')
  t.match(head, { method: 'POST', target: '/a?b=c', version: '1.1' })
  t.same(
    head.fields.map(({ name, value }) => [name, value]),
    [
      ['host', 'x.y'],
      ['x-empty', ''],
      ['x-odd', 'a:b \xff'],
      ['x-odd', '2'],
    ],
  )
  t.equal(head.fields[2]?.line.slice(head.fields[2].valueAt), 'a:b \xff\t ')
  t.match(response('HTTP/1.0 204'), { status: 204, version: '1.0' })
  t.match(response('HTTP/1.1 999 Odd'), { status: 999 })
  t.match(response('HTTP/1.1 404 Not Found Here'), { status: 404, startLine: 'HTTP/1.1 404 Not Found Here' })
})

t.test('refuses heads that are not RFC 9112', async (t) => {
  const lines = [
    'GET / HTTP/1.2',
    'GET / http/1.1',
    'GET /',
    'GET  / HTTP/1.1',
    'G(T / HTTP/1.1',
    'GET /a b HTTP/1.1',
    'GET /\x01 HTTP/1.1',
    ' GET / HTTP/1.1',
    'GET / HTTP/1.1 ',
    '',
  ]
  for (const line of lines)
    t.equal(
      code(() => request(line)),
      'malformed_request_line',
      JSON.stringify(line),
    )
  const fields = ['a : b', ' a: b', 'a', ':b', 'a b: c', 'a: \x7f', 'a: \0', 'a: b\rc', 'a: b\nc', 'a\xe9: b']
  for (const field of fields)
    t.equal(
      code(() => request(`GET / HTTP/1.1\r\n${field}`)),
      'malformed_field',
      JSON.stringify(field),
    )
  for (const line of [
    'HTTP/2 200',
    'HTTP/1.1 99 x',
    'HTTP/1.1 2000',
    'HTTP/1.1  200 OK',
    'ICY 200 OK',
    'HTTP/1.1 200\x01',
  ]) {
    t.equal(
      code(() => response(line)),
      'malformed_status_line',
      line,
    )
  }
  t.equal(
    code(() => request(`GET / HTTP/1.1${'\r\na: b'.repeat(600)}`)),
    'head_too_large',
  )
})

t.test('never throws anything but its own errors, and takes no time over hostile lines', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const text = Buffer.from(bytes).toString('latin1')
      return !/^no ProxyError/.test(
        code(() => readTarget(request(`GET ${text} HTTP/1.1\r\nHost: ${text}`))) + code(() => response(text)),
      )
    }),
    { numRuns: 1000 },
  )
  const spent = cpuMsOf(() => {
    for (const filler of [' ', '\t', 'a', ':', ',', ';']) {
      code(() => request(`GET / HTTP/1.1\r\na:${filler.repeat(60_000)}\x01`))
      code(() => readTarget(request(`GET / HTTP/1.1\r\nHost: ${`${filler}x`.repeat(30_000)}`)))
      code(() => persists(request(`GET / HTTP/1.1\r\nConnection: ${`${filler}x`.repeat(30_000)}`)))
    }
  })
  t.ok(spent < 1000, `${spent} ms`)
})

t.test('knows where a message ends (RFC 9112 section 6.3)', async (t) => {
  const ask = (fields: string) => requestFraming(request(`POST / HTTP/1.1${fields}`))
  t.same(ask(''), { kind: 'none' })
  t.same(ask('\r\nContent-Length: 12'), { kind: 'length', length: 12 })
  t.same(ask('\r\nTransfer-Encoding: Chunked'), { kind: 'chunked' })
  const reply = (line: string, method = 'GET') => responseFraming(response(line), method).kind
  t.equal(reply('HTTP/1.1 200 OK'), 'until-close')
  t.equal(reply('HTTP/1.1 200 OK\r\nContent-Length: 1'), 'length')
  t.equal(reply('HTTP/1.1 200 OK\r\nContent-Length: 1', 'HEAD'), 'none')
  t.equal(reply('HTTP/1.1 204 No'), 'none')
  t.equal(reply('HTTP/1.1 304 No\r\nContent-Length: 1'), 'none')
  t.equal(reply('HTTP/1.1 100 Continue'), 'none')
  t.equal(
    code(() => reply('HTTP/1.1 204 No\r\nContent-Length: 1\r\nContent-Length: 2')),
    'conflicting_length',
  )
  for (const bad of ['1, 1', '-1', '1.0', '0x1', '', '9'.repeat(20)])
    t.equal(
      code(() => ask(`\r\nContent-Length: ${bad}`)),
      'conflicting_length',
    )
  for (const bad of ['identity', 'chunked, chunked', 'xchunked', 'chunked\r\nTransfer-Encoding: chunked'])
    t.equal(
      code(() => ask(`\r\nTransfer-Encoding: ${bad}`)),
      'unsupported_transfer_coding',
    )
  t.equal(
    code(() => requestFraming(request('POST / HTTP/1.0\r\nTransfer-Encoding: chunked'))),
    'unsupported_transfer_coding',
  )
})

t.test('knows whether a connection goes on', async (t) => {
  t.ok(persists(request('GET / HTTP/1.1')))
  t.notOk(persists(request('GET / HTTP/1.1\r\nConnection: foo, Close')))
  t.notOk(persists(request('GET / HTTP/1.0')))
  t.ok(persists(request('GET / HTTP/1.0\r\nConnection: keep-alive')))
  t.ok(asksForUpgrade(request('GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket')))
  t.notOk(asksForUpgrade(request('GET / HTTP/1.1\r\nUpgrade: websocket')))
  t.equal(keepAliveSeconds(response('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100')), 5)
  t.equal(keepAliveSeconds(response('HTTP/1.1 200 OK')), undefined)
})

t.test('reads where a request goes, by Host and by its target, or not at all', async (t) => {
  const check = (line: string, host: string) => readTarget(request(`${line} HTTP/1.1\r\n${host}`))
  t.same(check('GET /a?b', 'Host: API.OpenAI.com.:443'), { path: '/a?b', hosts: ['api.openai.com'] })
  t.same(check('GET https://chatgpt.com/x', 'Host: api.openai.com'), {
    path: '/x',
    hosts: ['api.openai.com', 'chatgpt.com'],
  })
  t.same(check('GET https://api.openai.com', 'Host: [::1]:80'), {
    path: '/',
    hosts: ['::1', 'api.openai.com'],
  })
  t.same(check('OPTIONS *', 'Host: api.openai.com'), { path: '*', hosts: ['api.openai.com'] })
  for (const host of [
    'Host: a@api.openai.com',
    'Host: api.openai.com, x',
    'Host:',
    'X: y',
    'Host: api.openai.com:x',
  ]) {
    t.equal(
      code(() => check('GET /', host)),
      'malformed_host',
      host,
    )
  }
  for (const line of [
    'GET *',
    'CONNECT api.openai.com:443',
    'GET api.openai.com',
    'GET ftp://api.openai.com/',
  ]) {
    t.equal(
      code(() => check(line, 'Host: api.openai.com')),
      'unsupported_target',
      line,
    )
  }
})

t.test(
  'an answer that does not begin as HTTP is refused at its first bytes, in whatever pieces they come',
  async (t) => {
    const read = (...pieces: string[]) =>
      code(() => {
        const reader = new HeadReader('HTTP/1.')
        for (const piece of pieces) reader.read(Buffer.from(piece), 0)
      })
    t.equal(read('220 mail.example ready\r\n'), 'malformed_status_line')
    t.equal(read('H', 'T', 'X'), 'malformed_status_line')
    t.equal(read('HT', 'TP/1', '.1 200 OK\r\n'), 'no error')
  },
)
