/** What a connection's first bytes say, for ClientHellos as node:tls makes them and for anything else. */
import fc from 'fast-check'
import t from 'tap'
import { SNIFF_LIMIT, sniff } from '../../daemon/proxy/sniff/sniff.ts'
import { readSocksStep } from '../../daemon/proxy/sniff/socks.ts'
import { readClientHello } from '../../daemon/wire/client-hello.ts'
import {
  clientHello,
  h2Start,
  socks4Request,
  socks5Greeting,
  socks5Request,
  socks5SignIn,
} from './proxy-wire.ts'

/** The same handshake message over records of `size` bytes. */
function fragmented(hello: Buffer, size: number): Buffer {
  const message = hello.subarray(5)
  const records: Buffer[] = []
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size)
    records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part)
  }
  return Buffer.concat(records)
}

const hello13 = await clientHello({
  servername: 'API.OpenAI.com',
  ALPNProtocols: ['h2', 'http/1.1'],
  maxVersion: 'TLSv1.3',
})
const hello12 = await clientHello({ servername: 'api.openai.com', maxVersion: 'TLSv1.2' })
const nameless = await clientHello({ ALPNProtocols: ['http/1.1'] })

t.test('reads name and protocols of real ClientHellos, cut at every byte', async (t) => {
  for (const [hello, name, alpn] of [
    [hello13, { names: ['api.openai.com'], sni: 'API.OpenAI.com' }, ['h2', 'http/1.1']],
    [hello12, { names: ['api.openai.com'], sni: 'api.openai.com' }, []],
    [nameless, { names: [] }, ['http/1.1']],
  ] as const) {
    const expected = { protocol: 'tls', ...name, alpn, ech: false }
    t.same(sniff(hello), expected)
    for (let i = 1; i < hello.length; i++) {
      if (sniff(hello.subarray(0, i)) !== 'more') t.fail(`decided after ${i} of ${hello.length} bytes`)
    }
    t.same(sniff(Buffer.concat([hello, Buffer.from('early data')])), expected)
  }
})

t.test('puts a ClientHello together that comes in many records', async (t) => {
  for (const size of [1, 2, 3, 7, 100, 1000])
    t.same(sniff(fragmented(hello13, size)), sniff(hello13), `${size} bytes a record`)
})

t.test('sees the encrypted_client_hello extension', async (t) => {
  const message = Buffer.from(hello12.subarray(5))
  const extension = Buffer.from([0xfe, 0x0d, 0, 1, 0])
  const at = 4 + 2 + 32
  const session = message[at] as number
  const ciphers = message.readUInt16BE(at + 1 + session)
  const lengthAt = at + 1 + session + 2 + ciphers + 2
  message.writeUInt16BE(message.readUInt16BE(lengthAt) + extension.length, lengthAt)
  message.writeUIntBE(message.readUIntBE(1, 3) + extension.length, 1, 3)
  const whole = Buffer.concat([message, extension])
  const record = Buffer.concat([Buffer.from([22, 3, 1, whole.length >> 8, whole.length & 255]), whole])
  t.match(sniff(record), { ech: true, names: ['api.openai.com'] })
})

t.test('a ClientHello beyond the limit is decided on by what was seen of it', async (t) => {
  const long = Buffer.concat([hello13, Buffer.alloc(SNIFF_LIMIT, 0xaa)])
  long.writeUInt16BE(0x4000, 3)
  long.writeUIntBE(0x00fffc, 6, 3)
  t.match(sniff(long.subarray(0, SNIFF_LIMIT)), { protocol: 'tls', names: ['api.openai.com'] })
  t.equal(sniff(long.subarray(0, SNIFF_LIMIT - 1)), 'more')
})

t.test('a ClientHello that hides its name behind the limit, alerts or empty records', async (t) => {
  const alert = Buffer.from([21, 3, 1, 0, 2, 1, 100])
  const empty = Buffer.from([22, 3, 1, 0, 0])
  t.match(sniff(Buffer.concat([alert, empty, hello12])), { protocol: 'tls', names: ['api.openai.com'] })
  t.match(sniff(Buffer.concat([fragmented(hello12, 100).subarray(0, 105), alert, empty])), 'more')
  const padded = Buffer.concat([
    Buffer.from([22, 3, 1, 0x40, 0, 1, 0, 0x60, 0]),
    Buffer.alloc(SNIFF_LIMIT, 0xaa),
  ])
  t.match(sniff(padded), { protocol: 'tls', names: [], oversized: true })
  t.equal(sniff(hello12) === 'more' || 'oversized' in (sniff(hello12) as object), false)
})

t.test('two server names, or one that is no text, are none', async (t) => {
  const name = hello12.indexOf('api.openai.com')
  const odd = Buffer.from(hello12)
  odd[name] = 0
  t.match(sniff(odd), { protocol: 'tls', names: [] })
  const one = hostName('a.example')
  const other = hostName('API.openai.com')
  const twice = { names: ['a.example', 'api.openai.com'], doubtful: true }
  t.match(sniff(withExtensions(serverName(Buffer.concat([one, other])))), twice, 'in a list')
  t.match(sniff(withExtensions(serverName(one), serverName(other))), twice, 'in two extensions')
  t.match(sniff(withExtensions(serverName(Buffer.concat([Buffer.from([1, 0, 1, 9]), other])))), {
    names: ['api.openai.com'],
    doubtful: true,
  })
  t.match(sniff(withExtensions(serverName(one))), {
    names: ['a.example'],
    sni: 'a.example',
    doubtful: undefined,
  })
})

const sized = (bytes: Buffer) => Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])
const hostName = (name: string) => Buffer.concat([Buffer.from([0]), sized(Buffer.from(name))])
const serverName = (list: Buffer) => Buffer.concat([Buffer.from([0, 0]), sized(sized(list))])

/** A ClientHello with these extensions and no others. */
function withExtensions(...extensions: Buffer[]): Buffer {
  const fixed = Buffer.concat([Buffer.from([3, 3]), Buffer.alloc(32), Buffer.from([0, 0, 2, 0x13, 1, 1, 0])])
  const body = Buffer.concat([fixed, sized(Buffer.concat(extensions))])
  return Buffer.concat([Buffer.from([22, 3, 1]), sized(Buffer.concat([Buffer.from([1, 0]), sized(body)]))])
}

t.test('tells plain HTTP by its first line and reads every host it names', async (t) => {
  const names = (text: string, ended = false) => {
    const found = sniff(Buffer.from(text), ended)
    return found === 'more' ? found : `${found.protocol}:${found.names.join(' ')}`
  }
  t.equal(names('GET / HTTP/1.1\r\nHost: API.openai.com:80\r\n\r\n'), 'http:api.openai.com')
  t.equal(names('GET / HTTP/1.1\nhost : api.openai.com\n\n'), 'http:api.openai.com')
  t.equal(names('GET / HTTP/1.1\r\nHost:\r\n api.openai.com\r\n\r\n'), 'http:api.openai.com')
  t.equal(
    names('GET http://api.openai.com/ HTTP/1.1\r\nHost: a.example\r\n\r\n'),
    'http:a.example api.openai.com',
  )
  t.equal(names('CONNECT api.openai.com:443 HTTP/1.1\r\nHost: proxy\r\n\r\n'), 'http:proxy api.openai.com')
  t.equal(names('GET / HTTP/1.1\r\nHost: a\r\nHost: api.openai.com\r\n\r\n'), 'http:a api.openai.com')
  t.equal(names('GET / HTTP/1.1\r\nHost: api.openai.com:x\r\n\r\n'), 'http:api.openai.com')
  t.equal(names('GET / HTTP/1.1\r\nHost: api.openai.com/\r\n\r\n'), 'http:api.openai.com')
  t.equal(names('GET / HTTP/1.1\r\nHost: me:x@api.openai.com\r\n\r\n'), 'http:api.openai.com')
  t.equal(
    names('GET / HTTP/1.1\r\nHost: a.example\r\n\tapi.openai.com\r\n\r\n'),
    'http:a.example api.openai.com',
  )
  t.equal(names('GET_2 / HTTP/1.1\r\nHost:\tapi.openai.com.\t\r\n\r\n'), 'http:api.openai.com')
  t.equal(names('GET http://api.openai.com:x/ HTTP/1.1\r\n\r\n'), 'http:api.openai.com')
  t.equal(names('GET / HTTP/1.0\r\n\r\n'), 'http:')
  t.equal(names('GET / HTTP/1.1\r\nHost: api.open'), 'more')
  t.equal(names('GET / HTTP/1.1\r\nHost: api.openai.com\r\n', true), 'http:api.openai.com')
  t.equal(
    names(`GET / HTTP/1.1\r\nHost: api.openai.com\r\nX: ${'x'.repeat(SNIFF_LIMIT)}`),
    'http:api.openai.com',
  )
  for (const other of [
    'SSH-2.0-OpenSSH_9\r\n',
    'EHLO me\r\n',
    'PING\r\n',
    '\0\0\0\x08',
    'GET /\r\n',
    'get x\r\n',
    '{"a":1}',
  ]) {
    t.equal(names(other), 'other:', JSON.stringify(other))
  }
  for (const partial of ['G', 'GET', 'GET / HT', '\x16', '\x16\x03']) t.equal(names(partial), 'more')
})

t.test('tells HTTP/2 without TLS, and CONNECT with where it goes', async (t) => {
  t.equal(sniff(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')), 'more')
  t.match(sniff(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), true), { protocol: 'h2-preface', names: [] })
  t.equal(sniff(Buffer.from('PRI * HTTP')), 'more')
  const target = (text: string) => {
    const found = sniff(Buffer.from(`${text}\r\nX: y\r\n\r\nrest`))
    return found === 'more' ? found : found.tunnel
  }
  t.same(target('CONNECT API.openai.com.:443 HTTP/1.1'), { host: 'api.openai.com', port: 443 })
  t.same(target('CONNECT [2001:DB8::7]:8443 HTTP/1.1'), { host: '2001:db8::7', port: 8443 })
  t.same(target('CONNECT https://me:x@api.openai.com/ HTTP/1.1'), { host: 'api.openai.com', port: 443 })
  t.same(target('\r\n\nconnect\t1.2.3.4:80\tHTTP/1.0'), { host: '1.2.3.4', port: 80 })
  t.same(target('CONNECT api.openai.com:443'), { host: 'api.openai.com', port: 443 })
  t.equal(target('GET / HTTP/1.1'), undefined)
  t.match(sniff(Buffer.from('GET /a?b HTTP/1.1\r\n\r\nrest')), {
    request: { method: 'GET', target: '/a?b' },
    end: 21,
  })
})

t.test('tells SOCKS, cut at every byte, from what only begins like it', async (t) => {
  const messages: [Buffer, object][] = [
    [socks5Greeting, { protocol: 'socks', end: 4 }],
    [
      socks4Request([1, 2, 3, 4], 443),
      { protocol: 'socks', tunnel: { host: '1.2.3.4', port: 443 }, end: 11 },
    ],
    [
      socks4Request('API.openai.com', 80),
      { protocol: 'socks', tunnel: { host: 'api.openai.com', port: 80 }, end: 26 },
    ],
  ]
  for (const [message, expected] of messages) {
    t.match(sniff(message), expected)
    for (let i = 1; i < message.length; i++) t.equal(sniff(message.subarray(0, i)), 'more')
  }
  t.match(sniff(Buffer.concat([socks5Greeting, socks5Request('a.example')])), { protocol: 'socks', end: 4 })
  for (const other of [
    '050003',
    '0402ffff',
    '04030000000000000000',
    '050100ff',
    '0401005001020304'.padEnd(600, '61'),
  ]) {
    const found = sniff(Buffer.from(other, 'hex'), true)
    t.match(found, { protocol: 'other' }, other)
  }

  const steps: [Buffer, object][] = [
    [socks5SignIn, { kind: 'sign-in', end: 13 }],
    [socks5Request('API.openai.com'), { kind: 'request', target: { host: 'api.openai.com', port: 443 } }],
    [socks5Request([1, 2, 3, 4], 80), { kind: 'request', target: { host: '1.2.3.4', port: 80 } }],
    [
      socks5Request([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]),
      { kind: 'request', target: { host: '2001:db8:0:0:0:0:0:7', port: 443 } },
    ],
    [Buffer.from([5, 3, 0, 1, 0, 0, 0, 0, 0, 0]), { kind: 'request', end: 10 }],
  ]
  for (const [step, expected] of steps) {
    t.match(readSocksStep(step), expected)
    for (let i = 0; i < step.length; i++) t.equal(readSocksStep(step.subarray(0, i)), 'more')
  }
  t.equal(readSocksStep(Buffer.from([5, 9, 0, 1])), 'not-socks')
  t.equal(readSocksStep(Buffer.from([5, 1, 0, 9, 0])), 'not-socks')
})

t.test('takes any bytes without throwing, and always decides within the limit', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, asHello) => {
      const input = asHello
        ? Buffer.concat([hello12.subarray(0, 11), Buffer.from(bytes)])
        : Buffer.from(bytes)
      sniff(input)
      readSocksStep(input)
      readClientHello(input, true)
      return sniff(Buffer.concat([input, Buffer.alloc(SNIFF_LIMIT)])) !== 'more'
    }),
    { numRuns: 2000 },
  )
})

t.test(
  'a real ClientHello with any byte changed is read or refused, never misread as more than the limit',
  async () => {
    fc.assert(
      fc.property(fc.nat(hello13.length - 1), fc.nat(255), (at, value) => {
        const changed = Buffer.from(hello13)
        changed[at] = value
        const found = sniff(changed)
        return found === 'more' || found.names.length <= 1
      }),
      { numRuns: 2000 },
    )
  },
)

t.test('reads the names of HTTP/2 without TLS, cut at every byte', async (t) => {
  const start = await h2Start({ ':authority': 'API.openai.com:80', 'x-much': 'a'.repeat(500) })
  t.match(sniff(start), { protocol: 'h2-preface', names: ['api.openai.com'] })
  for (let i = 3; i < start.length; i++) {
    if (sniff(start.subarray(0, i)) !== 'more') t.fail(`decided after ${i} of ${start.length} bytes`)
  }
  t.match(sniff(start.subarray(0, -1), true), { protocol: 'h2-preface', names: [], unfinished: true })
  t.match(sniff(await h2Start({ ':authority': 'a.example', host: 'api.openai.com' })), {
    names: ['a.example', 'api.openai.com'],
  })
  t.match(
    sniff(paddedAndCut(start, 24)),
    { names: ['api.openai.com'] },
    'padded, and over CONTINUATION frames',
  )
})

/** The same request with padding and a priority, its fields over three frames. */
function paddedAndCut(start: Buffer, from: number): Buffer {
  const frames: Buffer[] = []
  for (let at = from; at < start.length; ) {
    const end = at + 9 + start.readUIntBE(at, 3)
    const [type, flags = 0] = start.subarray(at + 3)
    const payload = start.subarray(at + 9 + (type === 1 && flags & 0x20 ? 5 : 0), end)
    if (type !== 1) frames.push(start.subarray(at, end))
    else {
      const priority = Buffer.from([0, 0, 0, 0, 15])
      const pad = Buffer.alloc(7)
      frames.push(
        h2Frame(1, 0x28, Buffer.concat([Buffer.from([7]), priority, payload.subarray(0, 4), pad])),
        h2Frame(9, 0, payload.subarray(4, 5)),
        h2Frame(9, 4, payload.subarray(5)),
      )
    }
    at = end
  }
  return Buffer.concat([start.subarray(0, from), ...frames])
}

const h2Frame = (type: number, flags: number, payload: Buffer) =>
  Buffer.concat([
    Buffer.from([0, payload.length >> 8, payload.length & 255, type, flags, 0, 0, 0, 1]),
    payload,
  ])
