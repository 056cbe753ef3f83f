/** What a connection's first bytes say, for ClientHellos as node:tls makes them and for anything else. */

import { type AddressInfo, connect, createServer } from 'node:net'
import { connect as connectTls } from 'node:tls'
import fc from 'fast-check'
import t from 'tap'
import { readClientHello } from '../../daemon/wire/client-hello.ts'
import { SNIFF_LIMIT, sniff } from '../../daemon/proxy/sniff/sniff.ts'

/** The first flight of a real TLS client. */
function clientHello(options: {
  servername?: string
  ALPNProtocols?: string[]
  minVersion?: 'TLSv1.2'
  maxVersion?: 'TLSv1.2' | 'TLSv1.3'
}): Promise<Buffer> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.once('data', (bytes) => {
        socket.destroy()
        server.close()
        resolve(bytes)
      })
      socket.on('error', () => {})
    })
    server.listen(0, '127.0.0.1', () => {
      const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
      connectTls({ socket, ...options }).on('error', () => {})
      socket.on('error', () => {})
    })
  })
}

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
    [hello13, 'api.openai.com', ['h2', 'http/1.1']],
    [hello12, 'api.openai.com', []],
    [nameless, undefined, ['http/1.1']],
  ] as const) {
    const expected = { protocol: 'tls', names: name ? [name] : [], alpn, ech: false }
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

t.test('two server names, or one that is no text, are none', async (t) => {
  const name = hello12.indexOf('api.openai.com')
  const odd = Buffer.from(hello12)
  odd[name] = 0
  t.match(sniff(odd), { protocol: 'tls', names: [] })
})

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
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'get x\r\n',
    '{"a":1}',
  ]) {
    t.equal(names(other), 'other:', JSON.stringify(other))
  }
  for (const partial of ['G', 'GET', 'GET / HT', '\x16', '\x16\x03']) t.equal(names(partial), 'more')
})

t.test('takes any bytes without throwing, and always decides within the limit', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, asHello) => {
      const input = asHello
        ? Buffer.concat([hello12.subarray(0, 11), Buffer.from(bytes)])
        : Buffer.from(bytes)
      sniff(input)
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
