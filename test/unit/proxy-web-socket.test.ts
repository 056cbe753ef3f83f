/** A WebSocket through the gateway: real clients and servers of the `ws` package, one record a turn. */
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { WebSocket } from 'ws'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import { reading, rulesOf } from './proxy-rig.ts'
import { message, startWebSocketRig } from './web-socket-rig.ts'

const created = JSON.stringify({ type: 'session.created', session: { model: 'gpt-realtime' } })
const json = (value: unknown) => JSON.stringify(value)

/** Speaks as OpenAI's realtime interface does. */
function realtime(ws: WebSocket): void {
  ws.send(created)
  ws.on('message', (data) => {
    const { type } = JSON.parse(String(data))
    if (type !== 'response.create') return
    ws.send(json({ type: 'response.created', response: { id: 'r' } }))
    ws.send(json({ type: 'response.output_text.delta', delta: 'hi' }))
    ws.send(json({ type: 'response.done', response: { id: 'r', status: 'completed' } }))
  })
}

t.test('records one exchange a turn when the turn ends, the handshake as one of its own', async (t) => {
  const rig = await startWebSocketRig(realtime, { server: { perMessageDeflate: false } })
  t.teardown(() => rig.stop())
  const { ws } = await rig.open({
    protocols: ['realtime', 'openai-insecure-api-key.sk-ws-secret'],
    path: '/v1/realtime?model=gpt-realtime&key=sk-query-secret',
    perMessageDeflate: false,
  })
  const handshake = await rig.recorder.ended()
  t.match(handshake.end, { outcome: 'complete', upstream: { address: '127.0.0.1' } })
  t.equal(handshake.requestBody.length + handshake.responseBody.length, 0)
  for (const text of ['one', 'two']) {
    ws.send(json({ type: 'conversation.item.create', text }))
    ws.send(json({ type: 'response.create' }))
    const turns = await rig.turns(text === 'one' ? 1 : 2)
    const turn = turns.at(-1)
    t.same(turn?.client, [
      json({ type: 'conversation.item.create', text }),
      json({ type: 'response.create' }),
    ])
    t.equal(turn?.server.length, text === 'one' ? 4 : 3, 'what the server says first is the first turn’s')
    t.match(turn?.open.webSocket, { connection: handshake.open.id, turn: turns.length })
    t.match(turn?.end, {
      outcome: 'complete',
      webSocket: { messages: { client: 2, server: turn?.server.length as number } },
    })
    t.match(turn?.requestHead, /^GET \/v1\/realtime\?model=gpt-realtime&key=fp_[0-9a-f]{32} HTTP/)
    t.match(turn?.requestHead, /realtime,openai-insecure-api-key\.fp_[0-9a-f]{32}\r\n/)
    t.match(turn?.responseHead, /^HTTP\/1.1 101 /)
  }
  ws.close(4001, 'enough')
  const [, , last] = await rig.turns(3)
  t.match(last?.end, { outcome: 'complete', webSocket: { close: { by: 'client', code: 4001 } } })
  t.same([last?.client, last?.server], [['close 4001'], ['close 4001']])
  const all = Buffer.concat(rig.recorder.frames.map((frame) => frame.payload)).toString('latin1')
  t.notMatch(all, /sk-ws-secret|sk-query-secret/)
})

for (const takeover of [true, false]) {
  t.test(`reads compressed messages, context ${takeover ? 'taken over' : 'dropped'}`, async (t) => {
    const perMessageDeflate = {
      threshold: 0,
      serverNoContextTakeover: !takeover,
      clientNoContextTakeover: !takeover,
    }
    const rig = await startWebSocketRig(realtime, { server: { perMessageDeflate } })
    t.teardown(() => rig.stop())
    const { ws } = await rig.open({ perMessageDeflate: true })
    t.match(ws.extensions, 'permessage-deflate')
    for (let n = 1; n <= 3; n++) {
      const said = json({ type: 'response.create', instructions: 'the same words again and again' })
      ws.send(said)
      const turn = (await rig.turns(n)).at(-1)
      t.same(turn?.client, [said])
      t.match(turn?.server.at(-1), '"type":"response.done"')
    }
    ws.close(1000)
    t.match((await rig.turns(4)).at(-1)?.end, { webSocket: { close: { by: 'client', code: 1000 } } })
  })
}

t.test('joins fragments and counts the pings between them', async (t) => {
  const rig = await startWebSocketRig(realtime)
  t.teardown(() => rig.stop())
  const { ws } = await rig.open({ perMessageDeflate: false })
  const said = json({ type: 'response.create', text: 'in three parts' })
  ws.send(said.slice(0, 5), { fin: false })
  ws.ping('x')
  await once(ws, 'pong')
  ws.send(said.slice(5, 20), { fin: false })
  ws.send(said.slice(20), { fin: true })
  const [turn] = await rig.turns(1)
  t.same(turn?.client, [said])
  t.match(turn?.end, { webSocket: { messages: { client: 1 }, controls: 2 } })
})

t.test(
  'holds a message back until it is on disk; what comes meanwhile waits for one more answer',
  async (t) => {
    const seen: string[] = []
    const rig = await startWebSocketRig((ws) => ws.on('message', (data) => seen.push(String(data))))
    t.teardown(() => rig.stop())
    const { ws } = await rig.open({ perMessageDeflate: false })
    rig.recorder.mode = 'silent'
    const ends = () => rig.recorder.frames.filter((frame) => frame.type === FrameType.RequestEnd)
    ws.send('first')
    await rig.recorder.until(() => ends().length === 2)
    for (let i = 0; i < 50; i++) ws.send(`more ${i}`)
    await delay(50)
    t.same(seen, [])
    t.equal(ends().length, 2, 'nobody is asked again before the answer')
    rig.recorder.answer(ends()[1]?.exchange as number, true)
    await rig.recorder.until(() => ends().length === 3)
    t.same(seen.length <= 1, true)
    const { requestBody } = rig.recorder.exchange(ends()[2]?.exchange as number)
    t.match(requestBody.toString(), 'more 49')
    rig.recorder.answer(ends()[2]?.exchange as number, true)
    while (seen.length < 51) await delay(2)
    t.equal(ends().length, 3, 'fifty messages cost one sync')
  },
)

t.test('cuts the connection where a message can’t be recorded', async (t) => {
  const seen: string[] = []
  const rig = await startWebSocketRig((ws) => ws.on('message', (data) => seen.push(String(data))))
  t.teardown(() => rig.stop())
  const { ws } = await rig.open()
  rig.recorder.mode = 'failed'
  ws.send('secret plans')
  const [code, reason] = await once(ws, 'close')
  t.same([code, String(reason)], [1013, 'recorder_unavailable'])
  t.same(seen, [])
})

t.test('goes on without a record where the policy says so', async (t) => {
  const rules = rulesOf('standard', { proxy: { unrecorded: 'forward' } })
  const rig = await startWebSocketRig((ws) => ws.on('message', (data) => ws.send(`echo ${data}`)), {
    rulesAt: () => rules,
  })
  t.teardown(() => rig.stop())
  const { ws } = await rig.open()
  rig.recorder.mode = 'failed'
  ws.send('one')
  t.equal(await message(ws), 'echo one')
  await rig.recorder.stop()
  ws.send('two')
  t.equal(await message(ws), 'echo two')
  t.equal(rig.worker.state().unrecorded > 0, true)
})

t.test('passes 16 MiB each way, compressed or not, to a slow reader, and records them', async (t) => {
  for (const perMessageDeflate of [false, true]) {
    const rig = await startWebSocketRig((ws) => ws.on('message', (data) => ws.send(data)), {
      server: { perMessageDeflate },
    })
    t.teardown(() => rig.stop())
    const sizes = { request: 0, response: 0 }
    rig.recorder.bodies = ({ type, payload }) => {
      sizes[type === FrameType.RequestBody ? 'request' : 'response'] += payload.length
    }
    const { ws, socket } = await rig.open({ perMessageDeflate })
    const big = Buffer.alloc(16 << 20)
    for (let i = 0; i < big.length; i += 64) big.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i)
    ws.send(big)
    const timer = setInterval(() => {
      socket.pause()
      setTimeout(() => socket.resume(), 5)
    }, 20)
    const [data] = (await once(ws, 'message')) as [Buffer]
    clearInterval(timer)
    t.ok(big.equals(data))
    ws.close()
    // One turn or two: the first ends where the client's message is on disk before the server speaks.
    await rig.recorder.until(() => sizes.response >= big.length)
    t.ok(sizes.request >= big.length && sizes.request < big.length * 1.02)
    t.ok(sizes.response < big.length * 1.02)
    await rig.stop()
  }
})

t.test('without known events a turn ends before the client speaks again', async (t) => {
  const rig = await startWebSocketRig((ws) => ws.on('message', (data) => ws.send(`echo ${data}`)))
  t.teardown(() => rig.stop())
  const { ws } = await rig.open()
  for (const text of ['a', 'b', 'c']) {
    ws.send(text)
    await message(ws)
  }
  const turns = await rig.turns(2)
  t.same(
    turns.map(({ client, server }) => [client, server]),
    [
      [['a'], ['echo a']],
      [['b'], ['echo b']],
    ],
  )
})

t.test('an agent killed in the middle of a message leaves what it had said, as aborted', async (t) => {
  const rig = await startWebSocketRig(() => {})
  t.teardown(() => rig.stop())
  const { ws, socket } = await rig.open({ perMessageDeflate: false })
  ws.send('half of ', { fin: false })
  await rig.recorder.until(() => rig.recorder.frames.some(({ type }) => type === FrameType.RequestBody))
  socket.destroy()
  const [turn] = await rig.turns(1)
  t.same(turn?.client, ['half of '])
  t.match(turn?.end, { outcome: 'client-aborted', webSocket: { messages: { client: 0, server: 0 } } })
})

t.test('a provider that goes away without a close is told in the record', async (t) => {
  const rig = await startWebSocketRig((ws) => ws.on('message', () => ws.terminate()))
  t.teardown(() => rig.stop())
  const { ws } = await rig.open()
  ws.send('hello')
  await once(ws, 'close')
  const [turn] = await rig.turns(1)
  t.same(turn?.client, ['hello'])
  t.equal(turn?.end?.outcome, 'upstream-aborted')
})

t.test(
  'refuses what is no WebSocket: cut with 1002, the provider gets nothing of it, the record says why',
  async (t) => {
    const frames: Record<string, number[]> = {
      'no mask': [0x81, 1, 0x41],
      'a reserved bit': [0xc1, 0x81, 0, 0, 0, 0, 0x41],
      'a reserved opcode': [0x83, 0x81, 0, 0, 0, 0, 0x41],
      'a continuation of nothing': [0x80, 0x81, 0, 0, 0, 0, 0x41],
      'a long ping': [0x89, 0xfe, 0, 126, 0, 0, 0, 0],
      'a ping in parts': [0x09, 0x80, 0, 0, 0, 0],
      'a length beyond reason': [0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    }
    for (const [what, bytes] of Object.entries(frames)) {
      const seen: string[] = []
      const rig = await startWebSocketRig((ws) => ws.on('message', (data) => seen.push(String(data))))
      const { ws, socket } = await rig.open({ perMessageDeflate: false })
      ws.send('before')
      while (seen.length === 0) await delay(2)
      socket.write(Buffer.from(bytes))
      const [code] = await once(ws, 'close')
      t.equal(code, 1002, what)
      const [turn] = await rig.turns(1)
      t.match(turn?.end, { outcome: 'protocol-error', error: { code: 'malformed_web_socket' } }, what)
      t.same(seen, ['before'], what)
      await rig.stop()
    }
  },
)

t.test('is recorded as no WebSocket also where that is the first that is said', async (t) => {
  const rig = await startWebSocketRig(() => {})
  t.teardown(() => rig.stop())
  const { ws, socket } = await rig.open({ perMessageDeflate: false })
  socket.write(Buffer.from([0x88, 0x81, 0, 0, 0, 0, 3]))
  t.equal((await once(ws, 'close'))[0], 1002)
  const [turn] = await rig.turns(1)
  t.match(turn?.end, {
    outcome: 'protocol-error',
    error: { code: 'malformed_web_socket' },
    webSocket: { messages: { client: 0, server: 0 } },
  })
})

t.test('pings, pongs and closes may follow a close, messages don’t', async (t) => {
  const close = [0x88, 0x82, 0, 0, 0, 0, 3, 0xe8]
  const frames: [string, number[], number][] = [
    ['a pong', [0x8a, 0x80, 0, 0, 0, 0], 1000],
    ['a close', close, 1000],
    ['a message', [0x81, 0x81, 0, 0, 0, 0, 0x41], 1002],
  ]
  for (const [what, bytes, expected] of frames) {
    const closes: number[] = []
    const rig = await startWebSocketRig((ws) => ws.on('close', (code) => closes.push(code)))
    const { ws, socket } = await rig.open({ perMessageDeflate: false })
    socket.write(Buffer.from([...close, ...bytes]))
    t.equal((await once(ws, 'close'))[0], expected, what)
    await rig.turns(1)
    while (closes.length === 0) await delay(2)
    t.strictSame(closes, [expected === 1000 ? 1000 : 1006], what)
    await rig.stop()
  }
})

t.test('last words get to a provider that ended first, also where they wait for the disk', async (t) => {
  const rig = await startWebSocketRig(() => {})
  t.teardown(() => rig.stop())
  const { ws, socket } = await rig.open({ perMessageDeflate: false })
  const provider = rig.provided[0] as (typeof rig.provided)[0]
  const got = reading(provider)
  rig.recorder.mode = 'silent'
  const asked = () => rig.recorder.frames.filter((frame) => frame.type === FrameType.RequestEnd)
  const gone = once(socket, 'close')
  provider.end()
  ws.send('last words')
  await rig.recorder.until(() => asked().length === 2)
  await gone
  t.equal(got.bytes.length, 0)
  rig.recorder.answer(asked()[1]?.exchange as number, true)
  await got.until('end')
  t.equal(got.bytes.length, 2 + 4 + 'last words'.length)
  const [turn] = await rig.turns(1)
  t.match(turn, { client: ['last words'], end: { outcome: 'upstream-aborted' } })
})

t.test('records messages under an unknown extension as they are, and says so', async (t) => {
  const rig = await startWebSocketRig(() => {}, {
    provider: (socket) => {
      socket.once('data', () => {
        socket.write(
          'HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n' +
            'Sec-WebSocket-Extensions: permessage-deflate, x-secret; a=1\r\n\r\n',
        )
        socket.on('data', () => socket.write(Buffer.from([0xd1, 2, 0x01, 0x02])))
        socket.on('end', () => socket.end())
      })
    },
  })
  t.teardown(() => rig.stop())
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(
    'GET /v1/realtime HTTP/1.1\r\nHost: api.openai.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  )
  await read.until('\r\n\r\n')
  read.clear()
  agent.write(Buffer.from([0xf2, 0x82, 0, 0, 0, 0, 0x03, 0x04]))
  await read.until(4)
  agent.destroy()
  const [turn] = await rig.turns(1)
  t.match(turn?.end, { flags: ['web-socket-extension'] })
  t.equal(turn?.requestBody.toString('latin1'), 'binary 2 rsv=7\n\x03\x04\n')
  t.equal(turn?.responseBody.toString('latin1'), 'text 2 rsv=5\n\x01\x02\n')
})

t.test('a bomb costs its own connection only', async (t) => {
  const rig = await startWebSocketRig((ws) => ws.on('message', () => ws.send('got it')), {
    server: { perMessageDeflate: true },
  })
  t.teardown(() => rig.stop())
  rig.recorder.bodies = () => {}
  const { ws } = await rig.open({ perMessageDeflate: true })
  ws.on('message', () => t.fail('the message got through'))
  ws.send(Buffer.alloc(80 << 20))
  const [code, reason] = await once(ws, 'close')
  t.same([code, String(reason)], [1009, 'message_too_big'])
  const other = await rig.open({ perMessageDeflate: true })
  other.ws.send('still here')
  t.equal(await message(other.ws), 'got it')
})

t.test('plain HTTP', async (t) => {
  const rig = await startWebSocketRig(realtime, { tls: false })
  t.teardown(() => rig.stop())
  const { ws } = await rig.open()
  ws.send(json({ type: 'response.create' }))
  const [turn] = await rig.turns(1)
  t.match(turn?.open, { tls: false })
  t.same(turn?.client, [json({ type: 'response.create' })])
})

t.test('a worker that stops tells of every message that it passed on, compressed ones too', async (t) => {
  const COUNT = 40
  const big = 'x'.repeat(200_000)
  const rig = await startWebSocketRig(
    (ws) => {
      for (let i = 0; i < COUNT; i++) ws.send(json({ type: 'delta', i, big: `${i}${big}` }))
    },
    { server: { perMessageDeflate: { threshold: 0 } } },
  )
  const { ws } = await rig.open({ perMessageDeflate: true })
  let got = 0
  await new Promise<void>((resolve) => {
    ws.on('message', () => {
      got += 1
      if (got === COUNT) resolve()
    })
  })
  await rig.worker.stop()
  const [turn] = await rig.turns(1)
  t.equal(turn?.server.length, COUNT)
  await rig.stop()
})
