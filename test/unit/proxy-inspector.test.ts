/** What shows in an agent's bytes on a connection that is passed on, however they are cut. */
import fc from 'fast-check'
import t from 'tap'
import { Question } from '../../daemon/proxy/question.ts'
import { Inspector, type Judge, type Verdict } from '../../daemon/proxy/tunnel/inspector.ts'
import { LineScanner } from '../../daemon/proxy/tunnel/line-scanner.ts'
import { decide } from '../../policies/decide.ts'
import { cpuMsOf } from './cpu-time.ts'
import { rulesOf } from './proxy-rig.ts'
import {
  clientHello,
  connectRequest,
  socks4Request,
  socks5Greeting,
  socks5Request,
  socks5SignIn,
} from './proxy-wire.ts'

const PROVIDER_ADDRESS = '203.0.113.7'
const rules = rulesOf('standard')
const question = new Question(
  {
    policy: rules.policy,
    decide: (seen) => decide(rules, seen),
    isProvider: (address) => address === PROVIDER_ADDRESS || address === '2001:db8::7',
    isOwn: () => false,
  },
  {
    agent: { uid: 1000 },
    client: { address: '10.0.0.2', port: 5000 },
    originalDestination: { address: '198.51.100.1', port: 443 },
  },
)

/** As passage.ts judges, in short. */
const judge: Judge = (sight, free) => {
  const decision = question.about(sight, sight.within)
  const { action } = decision
  if (action === 'refuse' || sight.ambiguous) return { next: 'cut', decision }
  if (action === 'intercept') return { next: free ? 'take' : 'cut', decision }
  return { next: action === 'inspect' || sight.protocol === 'http' ? 'look' : 'pass', decision }
}

interface Outcome {
  readonly next: Verdict['next']
  readonly rule: string | undefined
  readonly out: Buffer
}

/** Puts pieces through an inspector as a connection would. */
function through(pieces: readonly Buffer[], { clean = false, stall = false, end = false } = {}): Outcome {
  const inspector = new Inspector(judge)
  const out: Buffer[] = []
  let next: Verdict['next'] = 'look'
  const act = (verdict: Verdict): Outcome | undefined => {
    out.push(...verdict.forward)
    next = verdict.next
    if (next !== 'cut' && next !== 'take') return undefined
    return { next, rule: verdict.decision?.rule, out: Buffer.concat(out) }
  }
  for (const piece of pieces) {
    const over =
      act(inspector.take(piece, clean)) ?? (stall && inspector.holds ? act(inspector.stalled()) : undefined)
    if (over) return over
  }
  const over = end ? act(inspector.ended()) : undefined
  if (over) return over
  return { next, rule: undefined, out: Buffer.concat(out) }
}

const hello = await clientHello({ servername: 'api.openai.com', ALPNProtocols: ['http/1.1'] })
const foreign = await clientHello({ servername: 'www.other.example', maxVersion: 'TLSv1.2' })
const nameless = await clientHello({ maxVersion: 'TLSv1.2' })
const text = (value: string) => Buffer.from(value, 'latin1')
const get = text('GET /a HTTP/1.1\r\nHost: www.other.example\r\n\r\n')
const post = text('POST /up HTTP/1.1\r\nHost: www.other.example\r\nContent-Length: 9\r\n\r\n')
const body = text('GET / HTT')
const call = text(
  'POST /v1/chat/completions HTTP/1.1\r\nHost: llm.other.example\r\nContent-Length: 2\r\n\r\n{}',
)
const named = text('GET /v1/models HTTP/1.1\r\nHost: api.openai.com\r\n\r\n')
const chunked = text(
  'POST /up HTTP/1.1\r\nHost: www.other.example\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nGET / HTT\r\n0\r\n\r\n',
)

/** The hello's handshake message over two records, with other records before and between them. */
const alert = Buffer.from([21, 3, 1, 0, 2, 1, 100])
const empty = Buffer.from([22, 3, 1, 0, 0])
const record = (message: Buffer) =>
  Buffer.concat([Buffer.from([22, 3, 1, message.length >> 8, message.length & 255]), message])
const interleaved = Buffer.concat([
  alert,
  empty,
  record(hello.subarray(5, 40)),
  alert,
  empty,
  record(hello.subarray(40)),
])

const CUT: [what: string, rule: string, pieces: Buffer[]][] = [
  [
    'a governed ClientHello after CONNECT',
    'standard/tunnel-governed-name',
    [connectRequest('vpn.example:443'), hello],
  ],
  ['a governed name in CONNECT', 'standard/tunnel-governed-name', [connectRequest('API.openai.com.:443')]],
  ['a BIND of SOCKS', 'standard/tunnel-blind', [socks5Greeting, Buffer.from([5, 2, 0, 1, 1, 2, 3, 4, 0, 9])]],
  ['CONNECT by address', 'standard/tunnel-provider-address', [connectRequest(`${PROVIDER_ADDRESS}:443`)]],
  ['CONNECT by an odd address', 'standard/tunnel-provider-address', [connectRequest('0xcb.0.28935:443')]],
  [
    'CONNECT after an empty line, in small letters',
    'standard/tunnel-governed-name',
    [text('\r\n\nconnect\tapi.openai.com:443\tHTTP/1.0\n\n')],
  ],
  [
    'CONNECT without a version',
    'standard/tunnel-governed-name',
    [text('CONNECT api.openai.com:443\r\n\r\n')],
  ],
  [
    'CONNECT that the proxy may read with a body',
    'standard/tunnel',
    [connectRequest('a.example:443', 'Content-Length: 1\r\n'), text('x'), hello],
  ],
  [
    'CONNECT in CONNECT',
    'standard/tunnel-governed-name',
    [connectRequest('a.example:3128'), connectRequest('b.example:443'), hello],
  ],
  [
    'CONNECT again after a refusal',
    'standard/tunnel-governed-name',
    [connectRequest('a.example:443'), connectRequest('api.openai.com:443', 'Proxy-Authorization: x\r\n')],
  ],
  ['plain HTTP in CONNECT', 'standard/tunnel-governed-name', [connectRequest('a.example:80'), named]],
  [
    'a second request in CONNECT',
    'standard/tunnel-governed-name',
    [connectRequest('a.example:80'), post, body, get, named],
  ],
  ['an LLM call in CONNECT', 'standard/unlisted-call', [connectRequest('a.example:80'), call]],
  [
    'no name to a provider by address',
    'standard/tunnel-provider-address',
    [socks5Greeting, socks5Request([203, 0, 113, 7]), nameless],
  ],
  ['SOCKS 5 by name', 'standard/tunnel-governed-name', [socks5Greeting, socks5Request('api.openai.com')]],
  [
    'SOCKS 5 signed in',
    'standard/tunnel-governed-name',
    [socks5Greeting, socks5SignIn, socks5Request('api.openai.com')],
  ],
  [
    'SOCKS 5 by IPv6',
    'standard/tunnel-provider-address',
    [socks5Greeting, socks5Request([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7])],
  ],
  [
    'a governed ClientHello in SOCKS 5',
    'standard/tunnel-governed-name',
    [socks5Greeting, socks5Request('a.example'), hello],
  ],
  [
    'SOCKS in SOCKS',
    'standard/tunnel-governed-name',
    [socks5Greeting, socks5Request('a.example', 1080), socks4Request('api.openai.com')],
  ],
  [
    'SOCKS in CONNECT',
    'standard/tunnel-governed-name',
    [connectRequest('a.example:1080'), socks5Greeting, socks5Request('api.openai.com')],
  ],
  ['SOCKS 4 by address', 'standard/tunnel-provider-address', [socks4Request([203, 0, 113, 7])]],
  ['SOCKS 4a by name', 'standard/tunnel-governed-name', [socks4Request('api.openai.com')]],
  [
    'a governed ClientHello in SOCKS 4',
    'standard/tunnel-governed-name',
    [socks4Request([198, 51, 100, 9]), hello],
  ],
  ['a later governed request', 'standard/governed-name', [get, named]],
  ['a later LLM call', 'standard/unlisted-call', [get, post, body, call]],
  ['an LLM call behind a chunked body', 'standard/unlisted-call', [chunked, call]],
  ['a later CONNECT', 'standard/tunnel-governed-name', [get, connectRequest('api.openai.com:443')]],
  [
    'a request behind one of two lengths',
    'standard/governed-name',
    [
      text(
        'POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 900\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      ),
      named,
    ],
  ],
  [
    'a request behind a broken chunk',
    'standard/governed-name',
    [text('POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'), named],
  ],
  [
    'an LLM call behind bare line feeds',
    'standard/unlisted-call',
    [text('GET / HTTP/1.1\nHost: a.example\n\n'), call],
  ],
  [
    'a folded Host behind bare line feeds',
    'standard/governed-name',
    [text('GET / HTTP/1.1\nHost: a.example\n\nGET / HTTP/1.1\nHost:\n api.openai.com\n\n')],
  ],
  [
    'a governed ClientHello among alerts and empty records',
    'standard/tunnel-governed-name',
    [connectRequest('a.example:443'), interleaved],
  ],
  ['a blank before a later request', 'standard/governed-name', [get, Buffer.concat([text(' \t'), named])]],
  [
    'CONNECT behind bare line feeds',
    'standard/tunnel',
    [text('GET / HTTP/1.1\nHost: a.example\n\n'), connectRequest('a.example:443'), hello],
  ],
  [
    'a governed ClientHello after an upgrade',
    'standard/governed-name',
    [text('GET / HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: TLS/1.2\r\n\r\n'), hello],
  ],
]

t.test(
  'cuts what names a provider, wherever its bytes are cut, and lets none of that message out',
  async (t) => {
    for (const [what, rule, pieces] of CUT) {
      const all = Buffer.concat(pieces)
      const before = Buffer.concat(pieces.slice(0, -1)).length
      // Where requests can't be told from bodies lines go out as they come, but never a whole head.
      const most = /behind (one|a broken|bare)|folded/.test(what)
        ? all.lastIndexOf('\n', all.length - 2)
        : before
      const cuts: [string, Buffer[]][] = [
        ['as sent', pieces],
        ['in one', [all]],
        ['byte by byte', [...all].map((byte) => Buffer.from([byte]))],
      ]
      for (let i = 1; i < all.length; i++) cuts.push([`at ${i}`, [all.subarray(0, i), all.subarray(i)]])
      for (const [how, bytes] of cuts) {
        const { next, rule: found, out } = through(bytes)
        if (next !== 'cut' || found !== rule) t.fail(`${what}, ${how}: ${next} ${found}`)
        if (out.length > most) t.fail(`${what}, ${how}: ${out.length - most} bytes of it went out`)
        if (!all.subarray(0, out.length).equals(out)) t.fail(`${what}, ${how}: not the bytes that were sent`)
      }
      const { next, rule: found, out } = through(cuts[2]?.[1] ?? [], { stall: true })
      if (next !== 'cut' || found !== rule) t.fail(`${what}, stalling after each byte: ${next} ${found}`)
      if (out.length >= all.length) t.fail(`${what}, stalling after each byte: all of it went out`)
      t.pass(what)
    }
  },
)

const PASSED: [what: string, next: Verdict['next'], pieces: Buffer[]][] = [
  [
    'a foreign ClientHello after CONNECT',
    'pass',
    [connectRequest('www.other.example:443'), foreign, text('\x17anything')],
  ],
  ['SSH after CONNECT', 'pass', [connectRequest('bastion.example:22'), text('SSH-2.0-x\r\n')]],
  ['a foreign ClientHello in SOCKS', 'pass', [socks5Greeting, socks5Request('www.other.example'), foreign]],
  ['requests, one after the other', 'look', [get, post, body, chunked, get]],
  [
    'a WebSocket to a foreign host',
    'pass',
    [
      text('GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'),
      text('\x81\x85GET / HTTP/1.1\r\nHost: api.openai.com\r\n\r\n'),
    ],
  ],
  [
    'a body that talks of a provider',
    'look',
    [text(`POST /doc HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${named.length}\r\n\r\n`), named, get],
  ],
  [
    'a request with two lengths',
    'look',
    [text('POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello')],
  ],
]

t.test('passes everything else on byte for byte, wherever it is cut', async (t) => {
  for (const [what, next, pieces] of PASSED) {
    const all = Buffer.concat(pieces)
    const bytewise = [...all].map((byte) => Buffer.from([byte]))
    for (const options of [{}, { stall: true }, { clean: true }, { end: true }]) {
      for (const bytes of [pieces, [all], bytewise]) {
        const found = through(bytes, options)
        t.ok(found.out.equals(all), `${what} ${JSON.stringify(options)}`)
        if (!('end' in options)) t.equal(found.next, next, what)
      }
    }
    fc.assert(
      fc.property(fc.array(fc.nat(all.length), { maxLength: 6 }), (at) => {
        const places = [0, ...at.sort((a, b) => a - b), all.length]
        const cut = places
          .slice(1)
          .map((end, i) => all.subarray(places[i], end))
          .filter((piece) => piece.length > 0)
        return through(cut).out.equals(all)
      }),
      { numRuns: 100 },
    )
  }
})

t.test('a first message is free to be taken over only where nothing went before it', async (t) => {
  t.match(through([named], { clean: true }), { next: 'take', out: { length: 0 } })
  t.match(through([hello], { clean: true }), { next: 'take' })
  t.match(through([get, call], { clean: true }), { next: 'take' })
  t.match(through([Buffer.concat([get, call])], { clean: true }), { next: 'cut' }, 'pipelined')
  t.match(through([get, call.subarray(0, 10), call.subarray(10)], { clean: true }), { next: 'take' })
  t.match(through([call], { clean: false }), { next: 'cut' })
  t.match(through([connectRequest('a.example:443'), hello], { clean: true }), { next: 'cut' }, 'in a tunnel')
  t.match(
    through(
      [...call].map((byte) => Buffer.from([byte])),
      { clean: true, stall: true },
    ),
    { next: 'cut' },
    'part of it went out',
  )
})

t.test('holds back no more than 16 KiB and finds what stands behind them', async (t) => {
  const inspector = new Inspector(judge)
  let out = 0
  const send = (bytes: Buffer) => {
    const verdict = inspector.take(bytes, false)
    for (const part of verdict.forward) out += part.length
    return verdict
  }
  send(text('GET / HTTP/1.1\r\nHost: a.example\r\n'))
  let sent = 34
  while (out === 0 && sent < 40_000) {
    send(text(`X: ${'x'.repeat(96)}\r\n`))
    sent += 101
  }
  t.ok(sent < 16_600, `${sent} bytes`)
  t.match(send(text('hOsT: api.openai.com\r\n')), {
    next: 'cut',
    decision: { rule: 'standard/governed-name' },
  })

  const long = new Inspector(judge)
  const first = text(`GET / HTTP/1.1\r\nX: ${'x'.repeat(16_400)}\r\nHost: api.op`)
  t.equal(long.take(first, false).next, 'look')
  t.match(long.take(text('enai.com\r\n'), false), { next: 'cut' }, 'a line that was cut at the limit')
})

t.test('takes any bytes without throwing, and loses none', async () => {
  const parts = [
    get,
    post,
    body,
    chunked,
    foreign,
    socks5Greeting,
    connectRequest('a.example:443'),
    text('\r\n'),
  ]
  const piece = fc.oneof(
    fc.constantFrom(...parts),
    fc.uint8Array({ minLength: 1, maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  )
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 12 }), fc.boolean(), (pieces, stall) => {
      const { next, out } = through(pieces, { stall, end: true })
      const all = Buffer.concat(pieces)
      return next === 'cut' ? all.subarray(0, out.length).equals(out) : out.equals(all)
    }),
    { numRuns: 2000 },
  )
})

t.test('reads lines cut anywhere, keeps the beginning of long ones, and costs little', async (t) => {
  const shown = (pieces: string[]) => {
    const scanner = new LineScanner()
    return pieces.flatMap((piece) => scanner.read(text(piece)).flatMap(({ names }) => names))
  }
  const lines = 'x\nGET / HTTP/1.1\r\nHost: a.example\r\nX: y\r\n\r\nHost: b.example\r\n'
  t.same(shown([lines]), ['a.example'], 'a Host that belongs to no request is none')
  t.same(shown([...lines]), ['a.example'])
  t.same(shown(['GET / HTTP/1.1\r\nHost: a.example ', 'y'.repeat(100_000), '\r\nHost: b.example\r\n']), [
    'a.example',
    'b.example',
  ])
  const scanner = new LineScanner()
  const spent = cpuMsOf(() => {
    for (let i = 0; i < 200; i++) scanner.read(Buffer.alloc(65_536, 'x'))
  })
  t.ok(spent < 1000, `13 MB of one line: ${spent} ms`)
})
