/** Well-formed bytes of what the proxy reads itself, which the fuzzer then spoils. */
import { FLAG, frame, PREFACE, TYPE } from '../../daemon/proxy/h2/frame.ts'
import { clientFrame, serverFrame } from '../../daemon/proxy/web-socket/frames.ts'
import { HpackEncoder } from '../../daemon/wire/hpack-encoder.ts'
import { awsMessage, json, sse } from '../unit/derive-fixture.ts'
import {
  clientHello,
  connectRequest,
  socks4Request,
  socks5Greeting,
  socks5Request,
} from '../unit/proxy-wire.ts'

const latin = (text: string) => Buffer.from(text, 'latin1')

export const HEADS = [
  'GET / HTTP/1.1\r\nHost: api.openai.com\r\n\r\n',
  'POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: api.openai.com:443\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello',
  'POST http://a.example/x HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nConnection: close, x\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5\r\nContent-Type: a/b; c="d"\r\n\r\nok',
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
].map(latin)

export const CHUNKED = [
  '5\r\nhello\r\n0\r\n\r\n',
  'A;x="y"\r\n0123456789\r\n1\r\nz\r\n0\r\nX-Checksum: 1\r\nY: 2\r\n\r\n',
  '000f\r\n0123456789abcde\r\n0;last\r\n\r\nrest',
].map(latin)

const field = (name: string, value: string) => ({ name, value, indexing: 'kept' }) as const
const FIELDS = [
  field(':method', 'POST'),
  field(':scheme', 'https'),
  field(':authority', 'api.openai.com'),
  field(':path', '/v1/responses'),
  field('authorization', 'Bearer sk-x'),
  field('x-long', 'y'.repeat(200)),
]
const block = (): Buffer => new HpackEncoder().encode(FIELDS)

export const HPACK = [
  block(),
  Buffer.from('828684418cf1e3c2e5f23a6ba0ab90f4ff', 'hex'),
  Buffer.from('3fe11f82', 'hex'),
]

const settings = frame(TYPE.settings, 0, 0, Buffer.from([0, 4, 0, 1, 0, 0, 0, 5, 0, 0, 64, 0]))
const start = [PREFACE, settings]
const first = block()
export const H2 = [
  [
    ...start,
    frame(TYPE.headers, FLAG.endHeaders, 1, first),
    frame(TYPE.data, FLAG.endStream, 1, latin('body')),
  ],
  [
    ...start,
    frame(TYPE.headers, 0, 1, first.subarray(0, 9)),
    frame(TYPE.continuation, FLAG.endHeaders, 1, first.subarray(9)),
    frame(TYPE.data, FLAG.padded, 1, latin('\x03body\0\0\0')),
    frame(TYPE.windowUpdate, 0, 0, Buffer.from([0, 0, 1, 0])),
    frame(TYPE.resetStream, 0, 1, Buffer.from([0, 0, 0, 8])),
  ],
  [
    ...start,
    frame(TYPE.settings, FLAG.acknowledged, 0, Buffer.alloc(0)),
    frame(TYPE.ping, 0, 0, Buffer.alloc(8, 1)),
    frame(TYPE.priority, 0, 3, Buffer.from([0, 0, 0, 1, 9])),
    frame(TYPE.goAway, 0, 0, Buffer.from([0, 0, 0, 1, 0, 0, 0, 0, 120])),
  ],
].map((frames) => Buffer.concat(frames))

const event = json({ type: 'response.create', model: 'gpt-5' })
/** A message in two fragments, unmasked. */
const fragments = Buffer.concat([latin('\x01\x03abc'), latin('\x89\x01p'), latin('\x80\x03def')])
export const WEB_SOCKET = [
  Buffer.concat([
    clientFrame('text', event),
    clientFrame('ping', latin('p')),
    clientFrame('close', latin('\x03\xe8')),
  ]),
  Buffer.concat([serverFrame('text', event), serverFrame('binary', Buffer.alloc(300, 7))]),
  fragments,
]

export const HELLOS = [
  await clientHello({ servername: 'api.openai.com', ALPNProtocols: ['h2', 'http/1.1'] }),
  connectRequest('api.openai.com:443'),
  socks4Request('a.example'),
  Buffer.concat([socks5Greeting, socks5Request('a.example')]),
  ...HEADS.slice(0, 2),
  ...H2.slice(0, 1),
]

const KEY = `sk-proj-${'aB3xY9kQ'.repeat(4)}`
const delta = (content: string) => ({ choices: [{ index: 0, delta: { content } }] })
export const SSE = [
  sse(delta(KEY.slice(0, 11)), delta(KEY.slice(11, 25)), delta(KEY.slice(25)), '[DONE]'),
  latin(`: c\r\nevent: x\r\ndata: {"a":\r\ndata: "${KEY}"}\r\n\r\nid: 1\ndata\n\n`),
]
export const AWS = [
  awsMessage('contentBlockDelta', { delta: { text: KEY } }),
  awsMessage('chunk', { bytes: json(delta(KEY)).toString('base64') }),
]
