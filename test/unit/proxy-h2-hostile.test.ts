/** HTTP/2 that is not as it must be, written by hand at either end. */
import type { Socket } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { AgentWindow } from '../../daemon/proxy/h2/agent-window.ts'
import { CODE, FLAG, frame, TYPE } from '../../daemon/proxy/h2/frame.ts'
import { FrameReader } from '../../daemon/proxy/h2/frame-reader.ts'
import { deadlineOf } from '../../daemon/proxy/h2/patience.ts'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import { ask, ByHand, h2Agent, type Serve, startH2Rig } from './h2-rig.ts'
import { NAME, type Rig, rulesOf, startRig } from './proxy-rig.ts'

const GET = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':authority', NAME],
  [':path', '/v1/models'],
] as const
const POST = [[':method', 'POST'], ...GET.slice(1)] as const

const ok: Serve = (stream) => {
  stream.respond({ ':status': 200 })
  stream.end()
}

async function agentByHand(rig: Rig): Promise<ByHand> {
  const agent = new ByHand(await rig.agent({ alpn: ['h2'] }))
  agent.begin()
  return agent
}

/** The status of the first answer on a stream; earlier header frames must have been read. */
const statusOf = (agent: ByHand, one: Parameters<ByHand['read']>[0]) =>
  agent.read(one).find(({ name }) => name === ':status')?.value

t.test(
  'requests that could be read in two ways are refused one by one, recorded, and not forwarded',
  async (t) => {
    const seen: unknown[] = []
    const rig = await startH2Rig((stream, headers, raw) => {
      seen.push(headers[':path'])
      ok(stream, headers, raw)
    })
    t.teardown(() => rig.stop())
    const agent = await agentByHand(rig)
    const bad: [string, readonly (readonly [string, string])[], number][] = [
      ['a connection field', [...GET, ['connection', 'close']], 400],
      ['a transfer coding', [...GET, ['transfer-encoding', 'chunked']], 400],
      ['capitals in a name', [...GET, ['X-Upper', '1']], 400],
      ['a line end in a value', [...GET, ['x-a', 'b\r\nx-evil: 1']], 400],
      ['a NUL in a value', [...GET, ['x-a', 'b\0c']], 400],
      ['a line end in the path', [...GET.slice(0, 3), [':path', '/v1 HTTP/1.1\r\nx: y']], 400],
      ['a colon in a name', [...GET, ['x:a', 'b']], 400],
      ['an empty name', [...GET, ['', 'b']], 400],
      ['a pseudo-header field at the end', [...GET.slice(0, 3), ['x-a', 'b'], [':path', '/v1/models']], 400],
      ['two paths', [...GET, [':path', '/other']], 400],
      ['an unknown pseudo-header field', [...GET, [':protocol', 'websocket']], 400],
      ['a status in a request', [...GET, [':status', '200']], 400],
      ['no path', GET.slice(0, 3), 400],
      ['no method', GET.slice(1), 400],
      ['no authority', [GET[0], GET[1], GET[3]], 400],
      ['an authority that is none', [GET[0], GET[1], [':authority', 'a@b/c'], GET[3]], 400],
      ['another host', [...GET, ['host', 'elsewhere.example']], 421],
      ['another authority', [GET[0], GET[1], [':authority', 'elsewhere.example'], GET[3]], 421],
      [
        'a tunnel',
        [
          [':method', 'CONNECT'],
          [':authority', NAME],
        ],
        400,
      ],
      ['two lengths', [...POST, ['content-length', '1'], ['content-length', '1']], 400],
      ['a length that is none', [...POST, ['content-length', '+1']], 400],
      ['a length without a body', [...POST, ['content-length', '1']], 400],
      ['TE', [...GET, ['te', 'gzip']], 400],
      ['too many fields', [...GET, ...Array.from({ length: 600 }, (_, i) => [`x-${i}`, ''] as const)], 431],
    ]
    let stream = -1
    for (const [what, fields, status] of bad) {
      stream += 2
      agent.headers(stream, fields)
      t.equal(statusOf(agent, await agent.frame(TYPE.headers, stream)), `${status}`, what)
    }
    agent.headers(stream + 2, GET)
    t.equal(
      statusOf(agent, await agent.frame(TYPE.headers, stream + 2)),
      '200',
      'a good one after them is served',
    )
    t.same(seen, ['/v1/models'])
    await rig.recorder.until(() => rig.recorder.refusals().length === bad.length)
    for (const { reason } of rig.recorder.refusals()) t.notMatch(reason, /evil|elsewhere/, 'values stay out')
  },
)

t.test('a body that is not as long as it says is refused, and the provider’s stream reset', async (t) => {
  const codes: number[] = []
  const rig = await startH2Rig((stream) => stream.on('close', () => codes.push(stream.rstCode)))
  t.teardown(() => rig.stop())
  const agent = await agentByHand(rig)
  const request = [...POST, ['content-length', '3']] as const
  for (const [stream, body, flags] of [
    [1, 'four', 0],
    [3, 'ab', FLAG.endStream],
  ] as const) {
    agent.headers(stream, request, false)
    agent.send(TYPE.data, flags, stream, body)
    t.equal(statusOf(agent, await agent.frame(TYPE.headers, stream)), '400')
    t.match((await rig.recorder.ended((stream - 1) / 2)).end, {
      outcome: 'protocol-error',
      error: { code: 'conflicting_length' },
    })
  }
  while (codes.length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
  t.same(codes, [CODE.cancel, CODE.cancel])
})

t.test('frames that break the rules end the connection with their code, and are recorded', async (t) => {
  const rig = await startH2Rig(ok)
  t.teardown(() => rig.stop())
  const increment = (n: number) => Buffer.from([n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255])
  const cases: [string, (agent: ByHand) => void, number][] = [
    ['DATA of no stream', (a) => a.send(TYPE.data, 0, 0, 'x'), CODE.protocolError],
    ['DATA of a stream that was not opened', (a) => a.send(TYPE.data, 0, 5, 'x'), CODE.protocolError],
    ['a stream with an even number', (a) => a.headers(2, GET), CODE.protocolError],
    ['a frame that is too long', (a) => a.send(TYPE.data, 0, 1, Buffer.alloc(70_000)), CODE.frameSizeError],
    ['a push', (a) => a.send(TYPE.pushPromise, 4, 1, Buffer.alloc(8)), CODE.protocolError],
    ['a PING of 7 bytes', (a) => a.send(TYPE.ping, 0, 0, Buffer.alloc(7)), CODE.frameSizeError],
    ['SETTINGS of 5 bytes', (a) => a.send(TYPE.settings, 0, 0, Buffer.alloc(5)), CODE.frameSizeError],
    ['SETTINGS on a stream', (a) => a.send(TYPE.settings, 0, 1), CODE.protocolError],
    ['a WINDOW_UPDATE of nothing', (a) => a.send(TYPE.windowUpdate, 0, 0, increment(0)), CODE.protocolError],
    ['RST_STREAM of no stream', (a) => a.send(TYPE.resetStream, 0, 0, increment(0)), CODE.protocolError],
    [
      'RST_STREAM of a stream to come',
      (a) => a.send(TYPE.resetStream, 0, 9, increment(0)),
      CODE.protocolError,
    ],
    ['CONTINUATION of nothing', (a) => a.send(TYPE.continuation, 4, 1), CODE.protocolError],
    [
      'more padding than payload',
      (a) => a.send(TYPE.headers, 4 | FLAG.padded, 1, Buffer.from([9, 1])),
      CODE.protocolError,
    ],
    ['no HPACK', (a) => a.send(TYPE.headers, 4, 1, Buffer.from('ffffffffff', 'hex')), CODE.compressionError],
    [
      'a table that is too large',
      (a) => a.send(TYPE.headers, 4, 1, Buffer.from('3fe1ff03', 'hex')),
      CODE.compressionError,
    ],
    [
      'another frame inside a header block',
      (a) => {
        a.send(TYPE.headers, 0, 1, a.block(GET))
        a.send(TYPE.ping, 0, 0, Buffer.alloc(8))
      },
      CODE.protocolError,
    ],
    [
      'CONTINUATION without an end',
      (a) => {
        a.send(TYPE.headers, 0, 1, a.block(GET))
        for (let i = 0; i < 100; i++) a.send(TYPE.continuation, 0, 1)
      },
      CODE.enhanceYourCalm,
    ],
    [
      'a header block of megabytes',
      (a) => {
        a.send(TYPE.headers, 0, 1, a.block(GET))
        for (let i = 0; i < 8; i++) a.send(TYPE.continuation, 0, 1, Buffer.alloc(16_384))
      },
      CODE.enhanceYourCalm,
    ],
  ]
  for (const [i, [what, attack, code]] of cases.entries()) {
    const agent = await agentByHand(rig)
    await agent.frame(TYPE.settings)
    attack(agent)
    t.equal(await agent.closedWith(), code, what)
    await rig.recorder.until(() => rig.recorder.refusals().length === i + 1)
    t.match(rig.recorder.refusals()[i], { reason: /^(malformed_frame|excessive_frames): / }, what)
  }
  const late = new ByHand(await rig.agent({ alpn: ['h2'] }))
  late.socket.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
  t.equal(await late.closedWith(), CODE.protocolError, 'no preface')
})

t.test('fields that expand a thousandfold are refused, and the table is as it was', async (t) => {
  const rig = await startH2Rig(ok)
  t.teardown(() => rig.stop())
  const agent = await agentByHand(rig)
  const block = agent.block([...GET, ['x-bomb', 'b'.repeat(3500)]])
  agent.send(TYPE.headers, FLAG.endHeaders | FLAG.endStream, 1, block)
  t.equal(statusOf(agent, await agent.frame(TYPE.headers, 1)), '200')
  const again = agent.block([...GET, ['x-bomb', 'b'.repeat(3500)]])
  const bomb = Buffer.concat([again, Buffer.alloc(15_000, again[again.length - 1])])
  agent.send(TYPE.headers, FLAG.endHeaders | FLAG.endStream, 3, bomb)
  t.equal(statusOf(agent, await agent.frame(TYPE.headers, 3)), '431')
  agent.headers(5, GET)
  t.equal(statusOf(agent, await agent.frame(TYPE.headers, 5)), '200')
})

t.test('what HTTP/2 no longer has, or never had, is tolerated', async (t) => {
  const rig = await startH2Rig(ok)
  t.teardown(() => rig.stop())
  const agent = await agentByHand(rig)
  agent.send(TYPE.priority, 0, 7, Buffer.from([0, 0, 0, 5, 200]))
  agent.send(200, 255, 9, 'an extension')
  agent.send(TYPE.data + 16, 0, 0, 'PRIORITY_UPDATE')
  const priority = Buffer.from([0x80, 0, 0, 11, 15])
  const flags = FLAG.endHeaders | FLAG.endStream | FLAG.priority | FLAG.padded
  const padded = Buffer.concat([Buffer.from([3]), priority, agent.block(GET), Buffer.alloc(3)])
  agent.send(TYPE.headers, flags, 13, padded)
  t.equal(statusOf(agent, await agent.frame(TYPE.headers, 13)), '200')
  const block = agent.block(GET)
  agent.send(TYPE.headers, FLAG.endStream, 15, block.subarray(0, 1))
  agent.send(TYPE.continuation, 0, 15, '')
  agent.send(TYPE.continuation, FLAG.endHeaders, 15, block.subarray(1))
  t.equal(statusOf(agent, await agent.frame(TYPE.headers, 15)), '200')
  agent.headers(17, POST, false)
  const body = Buffer.concat([Buffer.from([2]), Buffer.from('padded'), Buffer.alloc(2)])
  agent.send(TYPE.data, FLAG.padded, 17, body)
  agent.send(TYPE.data, 0, 17, '')
  agent.send(TYPE.data, FLAG.endStream, 17, '!')
  t.equal(statusOf(agent, await agent.frame(TYPE.headers, 17)), '200')
  const recorded = await rig.recorder.ended(2)
  t.equal(recorded.requestBody.toString(), 'padded!')
})

t.test('empty DATA is told to nobody, however much of it comes', async (t) => {
  const rig = await startH2Rig(ok)
  t.teardown(() => rig.stop())
  const agent = await agentByHand(rig)
  agent.headers(1, POST, false)
  for (let i = 0; i < 100; i++) {
    agent.send(TYPE.data, 0, 1)
    agent.send(TYPE.data, FLAG.padded, 1, Buffer.alloc(3, 2))
  }
  agent.send(TYPE.data, FLAG.endStream, 1)
  const { types } = await rig.recorder.ended()
  t.same(
    types.filter((type) => type === FrameType.RequestBody || type === FrameType.ResponseBody),
    [],
  )
})

t.test(
  'patience: a header block, a body and an idle connection have their time, a provider all of it',
  (t) => {
    const streams = (size: number, waitForProvider = false) => ({ size, waitForProvider })
    const receiver = { inBlock: false, inFrame: false }
    const at = { now: 1000, progress: 500, receiver, streams: streams(0) }
    const inBlock = { ...at, receiver: { ...receiver, inBlock: true } }
    t.equal(deadlineOf(1e9, inBlock), 31_000)
    t.equal(deadlineOf(31_000, { ...inBlock, now: 5000, streams: streams(3, true) }), 31_000, 'not moved')
    const inFrame = { ...at, receiver: { ...receiver, inFrame: true } }
    t.equal(deadlineOf(1e9, inFrame), 31_000)
    t.equal(deadlineOf(0, { ...inFrame, streams: streams(1) }), 300_500, 'DATA may be slow')
    t.equal(deadlineOf(0, at), 301_000)
    t.equal(deadlineOf(0, { ...at, streams: streams(2) }), 300_500, 'PINGs are no progress')
    t.equal(deadlineOf(0, { ...at, streams: streams(2, true) }), Number.POSITIVE_INFINITY)
    t.end()
  },
)

t.test('opening and resetting streams in a flood ends the connection', async (t) => {
  const rig = await startH2Rig(() => {})
  t.teardown(() => rig.stop())
  const agent = await agentByHand(rig)
  const cancel = Buffer.from([0, 0, 0, CODE.cancel])
  for (let stream = 1; stream < 4000; stream += 2) {
    agent.headers(stream, POST, false)
    agent.send(TYPE.resetStream, 0, stream, cancel)
  }
  t.equal(await agent.closedWith(), CODE.enhanceYourCalm)
})

t.test('so does having them reset by bodies that are wrong', async (t) => {
  for (const end of ['DATA', 'trailers'] as const) {
    const rig = await startH2Rig(() => {})
    t.teardown(() => rig.stop())
    const agent = await agentByHand(rig)
    for (let stream = 1; stream < 4000; stream += 2) {
      agent.headers(stream, [...POST, ['content-length', '1']], false)
      if (end === 'DATA') agent.send(TYPE.data, 0, stream, 'ab')
      else agent.headers(stream, [['x-a', 'b']])
    }
    t.equal(await agent.closedWith(), CODE.enhanceYourCalm, end)
  }
})

t.test('more streams at once than are taken may be asked again', async (t) => {
  const rig = await startH2Rig(() => {}, { settings: { maxConcurrentStreams: 10_000 } })
  t.teardown(() => rig.stop())
  const agent = await agentByHand(rig)
  for (let stream = 1; stream <= 2 * 257; stream += 2) agent.headers(stream, POST, false)
  const refused = await agent.frame(TYPE.resetStream)
  t.equal(refused.stream, 513)
  t.equal(refused.payload.readUInt32BE(0), CODE.refusedStream)
})

t.test(
  'bytes that go nowhere are given back to the agent, own answers are taken off the provider',
  async (t) => {
    const taken: number[] = []
    const rig = await startH2Rig((stream) => {
      stream.respond({ ':status': 200 })
      stream.end(Buffer.alloc(200_000, 1))
      stream.on('close', () => taken.push(stream.rstCode))
    })
    t.teardown(() => rig.stop())
    const agent = await agentByHand(rig)
    agent.headers(1, [...POST.slice(0, 2), [':authority', 'elsewhere.example'], GET[3]], false)
    agent.send(TYPE.data, 0, 1, Buffer.alloc(10_000))
    const credit = await agent.frame(TYPE.windowUpdate, 0)
    t.equal(credit.payload.readUInt32BE(0), 10_000)
    const own = (await agent.frame(TYPE.data, 1)).payload.length
    agent.headers(3, GET)
    const received = () =>
      agent.frames
        .filter(({ type }) => type === TYPE.data)
        .reduce((sum, { payload }) => sum + payload.length, 0)
    await agent.until('the window to be full', () => received() > 65_535 - 16_384)
    await new Promise((resolve) => setTimeout(resolve, 100))
    t.ok(received() <= 65_535, 'the agent never gets more than it takes')
    const room = Buffer.alloc(4)
    for (let i = 0; i < 20; i++) {
      room.writeUInt32BE(20_000, 0)
      agent.send(TYPE.windowUpdate, 0, 0, room)
      agent.send(TYPE.windowUpdate, 0, 3, room)
    }
    await agent.until('the whole answer', () => received() === own + 200_000)
  },
)

t.test('what own answers took of the agent’s window is kept from the provider once', (t) => {
  const window = new AgentWindow()
  t.ok(window.takeForOwn(300))
  t.notOk(window.fits(65_535))
  t.equal(window.given(100), 0)
  t.equal(window.given(500), 300, 'what is left of the debt is taken off')
  t.equal(window.given(500), 500)
  window.passed(65_535 + 800)
  t.notOk(window.fits(1))
  t.notOk(window.takeForOwn(1), 'no room, no body')
  window.settings([[4, 10]])
  window.given(1000)
  t.notOk(window.takeForOwn(11), 'a new stream has less room than that')
  t.end()
})

t.test('a provider that breaks the rules is 502, its connection closed, later agents served', async (t) => {
  const settings = frame(TYPE.settings, 0, 0, Buffer.alloc(0))
  const answers: [string, (provider: ByHand) => void][] = [
    ['no HPACK', (p) => p.send(TYPE.headers, 4, 1, Buffer.from('ffffffffff', 'hex'))],
    ['a push', (p) => p.send(TYPE.pushPromise, 4, 1, Buffer.alloc(8))],
    ['a stream of its own', (p) => p.headers(2, [[':status', '200']])],
    ['a body without a head', (p) => p.send(TYPE.data, 1, 1, 'x')],
    ['no status', (p) => p.headers(1, [['x-a', 'b']])],
    ['an end before the answer', (p) => p.headers(1, [[':status', '103']])],
    ['a status that switches', (p) => p.headers(1, [[':status', '101']])],
    [
      'a line end in a field',
      (p) =>
        p.headers(1, [
          [':status', '200'],
          ['x-a', 'b\r\nc'],
        ]),
    ],
    ['text', (p) => p.socket.write('HTTP/1.1 200 OK\r\n\r\n')],
  ]
  let next = 0
  const rig = await startRig({
    alpn: ['h2'],
    provider: (socket: Socket) => {
      const [, answer] = answers[next] as (typeof answers)[number]
      socket.write(settings)
      socket.once('data', () => {})
      let begun = false
      let bytes = Buffer.alloc(0)
      socket.on('data', (more: Buffer) => {
        bytes = Buffer.concat([bytes, more])
        // After the client's preface: its settings and one request.
        if (begun || bytes.length < 24 + 9 + 20) return
        begun = true
        answer(new ByHand(socket))
      })
    },
  })
  t.teardown(() => rig.stop())
  for (const [i, [what]] of answers.entries()) {
    next = i
    const agent = await agentByHand(rig)
    agent.headers(1, GET)
    t.equal(statusOf(agent, await agent.frame(TYPE.headers, 1)), '502', what)
    t.match((await rig.recorder.ended(i)).end, {
      outcome: 'protocol-error',
      error: { code: 'upstream_protocol_error' },
    })
    agent.socket.destroy()
  }
})

/** What an agent still sends as its connection is closed resets it: the kernel's doing, and an end as well. */
function unlessReset(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ECONNRESET') throw error
}

const HELD = { name: 'held', action: 'block', content: ['secrets'] } as const

for (const [what, traffic] of [
  ['whatever an agent sends, the worker goes on', []],
  ['… and where it is held back until it is judged', [HELD]],
] as const)
  t.test(what, async (t) => {
    const rig = await startH2Rig(ok, { rules: rulesOf('standard', { traffic: { rules: [...traffic] } }) })
    t.teardown(() => rig.stop())
    const anyFrame = fc.tuple(
      fc.integer({ min: 0, max: 12 }),
      fc.nat(255),
      fc.integer({ min: 0, max: 9 }),
      fc.uint8Array({ maxLength: 60 }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(anyFrame, { minLength: 1, maxLength: 12 }), async (frames) => {
        const agent = await agentByHand(rig)
        agent.headers(1, POST, false)
        for (const [type, flags, stream, payload] of frames)
          agent.send(type, flags, stream, Buffer.from(payload))
        agent.socket.end()
        await agent.until('the end', () => agent.ended).catch(unlessReset)
      }),
      { numRuns: 150 },
    )
    t.equal((await ask(await h2Agent(rig), Object.fromEntries(GET))).headers[':status'], 200)
  })

t.test('the frame reader gives the same frames however the bytes are cut', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(12), fc.nat(255), fc.nat(0x7fffffff), fc.uint8Array({ maxLength: 300 })), {
        maxLength: 8,
      }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 10 }),
      (frames, cuts) => {
        const bytes = Buffer.concat(
          frames.map(([type, flags, id, payload]) => frame(type, flags, id, Buffer.from(payload))),
        )
        const reader = new FrameReader()
        const read: unknown[] = []
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const length = cuts[i % cuts.length] as number
          reader.push(bytes.subarray(at, at + length))
          at += length
          for (let one = reader.next(); one; one = reader.next())
            read.push([one.type, one.flags, one.stream, Buffer.from(one.payload).toString('hex')])
        }
        t.same(
          read,
          frames.map(([a, b, c, payload]) => [a, b, c, Buffer.from(payload).toString('hex')]),
        )
      },
    ),
    { numRuns: 300 },
  )
  t.end()
})
