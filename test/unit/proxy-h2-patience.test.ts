/** What an HTTP/2 peer that is slow or silent can hold on to, on either side, and what the records say of it. */
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import t from 'tap'
import { AgentPipe } from '../../daemon/proxy/h2/agent-pipe.ts'
import { CODE, frame, PREFACE, TYPE } from '../../daemon/proxy/h2/frame.ts'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import { ByHand, type Serve, startH2Rig } from './h2-rig.ts'
import { aLook, pass, restoreClock } from './proxy-clock.ts'
import { NAME, type Rig, startRig } from './proxy-rig.ts'

t.setTimeout(120_000)
t.teardown(restoreClock)

const GET = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':authority', NAME],
  [':path', '/v1/models'],
] as const
const POST = [[':method', 'POST'], ...GET.slice(1)] as const
const PING = Buffer.alloc(8)

async function agentByHand(rig: Rig, settings?: Buffer): Promise<ByHand> {
  const agent = new ByHand(await rig.agent({ alpn: ['h2'] }))
  agent.begin(settings)
  await agent.frame(TYPE.settings)
  return agent
}

/** Bytes one by one, each read by the worker before its clock goes on. */
async function trickle(agent: ByHand, bytes: Buffer, each: number): Promise<void> {
  for (const byte of bytes) {
    agent.socket.write(Buffer.from([byte]))
    await aLook()
    pass(each)
  }
}

const ok: Serve = (stream) => {
  stream.respond({ ':status': 200 })
  stream.end()
}

t.test(
  'a preface, a frame and a header block that trickle have 30 seconds, and leave a record',
  async (t) => {
    const attacks: [string, (agent: ByHand) => Promise<void>][] = [
      [
        'a frame',
        (agent) => trickle(agent, frame(TYPE.headers, 5, 1, agent.block(GET)).subarray(0, 2), 16_000),
      ],
      [
        'a header block',
        async (agent) => {
          agent.send(TYPE.headers, 0, 1, agent.block(GET))
          await trickle(agent, frame(TYPE.continuation, 0, 1, Buffer.alloc(8)).subarray(0, 2), 16_000)
        },
      ],
    ]
    const rig = await startH2Rig(ok)
    t.teardown(() => rig.stop())
    for (const [i, [what, attack]] of attacks.entries()) {
      const agent = await agentByHand(rig)
      await attack(agent)
      t.equal(await agent.closedWith(), CODE.noError, what)
      await rig.recorder.until(() => rig.recorder.refusals().length === i + 1)
      t.match(rig.recorder.refusals()[i], { reason: /^request_timeout: / }, what)
    }
    const late = new ByHand(await rig.agent({ alpn: ['h2'] }))
    await trickle(late, PREFACE.subarray(0, 2), 16_000)
    await late.until('the end', () => late.ended)
    await rig.recorder.until(() => rig.recorder.refusals().length === attacks.length + 1)
  },
)

t.test('a body that stops for 300 seconds is refused and recorded, PINGs or not', async (t) => {
  const codes: number[] = []
  const rig = await startH2Rig((stream) => stream.on('close', () => codes.push(stream.rstCode)))
  t.teardown(() => rig.stop())
  const agent = await agentByHand(rig)
  agent.headers(1, POST, false)
  agent.send(TYPE.data, 0, 1, 'x')
  await rig.recorder.until(() => rig.recorder.frames.some(({ type }) => type === FrameType.RequestBody))
  for (let i = 0; i < 2; i++) {
    pass(140_000)
    await aLook()
    agent.send(TYPE.ping, 0, 0, PING)
    await agent.until('an answer', () => agent.frames.filter(({ type }) => type === TYPE.ping).length > i)
  }
  t.equal(agent.frames.filter(({ type }) => type === TYPE.headers).length, 0, 'it still has time')
  pass(40_000)
  const answer = agent.read(await agent.frame(TYPE.headers, 1))
  t.equal(answer.find(({ name }) => name === ':status')?.value, '408')
  t.match((await rig.recorder.ended()).end, {
    outcome: 'protocol-error',
    error: { code: 'request_timeout' },
  })
  await agent.until('the end', () => agent.ended)
  while (codes.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  t.same(codes, [CODE.cancel])
})

t.test('an agent that takes nothing of its answer is cut after 300 seconds with a record', async (t) => {
  const room = Buffer.alloc(6)
  room.writeUInt16BE(4, 0)
  room.writeUInt32BE(0x7fff_ffff, 2)
  const more = Buffer.alloc(4)
  more.writeUInt32BE(0x7fff_0000, 0)
  const stalls: [string, Buffer, (agent: ByHand) => void][] = [
    ['it gives no window, and PINGs', Buffer.alloc(0), () => {}],
    [
      'it reads no bytes',
      room,
      (agent) => {
        agent.send(TYPE.windowUpdate, 0, 0, more)
        agent.socket.pause()
      },
    ],
  ]
  for (const [what, settings, stall] of stalls) {
    const codes: number[] = []
    const rig = await startH2Rig((stream) => {
      stream.respond({ ':status': 200 })
      stream.end(Buffer.alloc(64 << 20, 1))
      stream.on('close', () => codes.push(stream.rstCode))
    })
    let recorded = 0
    rig.recorder.bodies = ({ payload }) => {
      recorded += payload.length
    }
    const agent = await agentByHand(rig, settings)
    stall(agent)
    agent.headers(1, GET)
    for (let last = -1; recorded === 0 || recorded !== last; ) {
      last = recorded
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    for (let i = 0; i < 2; i++) {
      pass(140_000)
      await aLook()
      agent.send(TYPE.ping, 0, 0, PING)
    }
    t.equal(
      rig.recorder.frames.filter(({ type }) => type === FrameType.End).length,
      0,
      `${what}: it has time`,
    )
    pass(40_000)
    t.match(
      (await rig.recorder.ended()).end,
      { outcome: 'client-aborted', error: { code: 'answer_timeout' } },
      what,
    )
    pass(3000)
    while (codes.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    agent.socket.resume()
    await agent.until('the end', () => agent.ended)
    await rig.stop()
  }
})

t.test('a provider that is silent holds nothing once the agent has gone', async (t) => {
  const settings = frame(TYPE.settings, 0, 0, Buffer.alloc(0))
  const providers: [string, Buffer][] = [
    ['without a word', Buffer.alloc(0)],
    ['after its settings', settings],
    [
      'in the middle of a frame',
      Buffer.concat([settings, frame(TYPE.headers, 4, 1, Buffer.alloc(1)).subarray(0, 5)]),
    ],
    [
      'in the middle of a header block',
      Buffer.concat([settings, frame(TYPE.headers, 0, 1, Buffer.from([0x88]))]),
    ],
  ]
  for (const [what, said] of providers) {
    const rig = await startRig({
      alpn: ['h2'],
      provider: (socket: Socket) => {
        socket.write(said)
        socket.resume()
      },
    })
    const agent = new ByHand(await rig.agent({ alpn: ['h2'] }))
    agent.begin()
    agent.headers(1, GET)
    await rig.recorder.until(() => rig.recorder.frames.some(({ type }) => type === FrameType.RequestEnd))
    pass(100_000_000)
    await aLook()
    t.equal(rig.worker.state().connections, 1, `${what}: the agent decides how long it waits`)
    agent.socket.destroy()
    t.match((await rig.recorder.ended()).end, { outcome: 'client-aborted' }, what)
    while (!rig.provided[0]?.readableEnded || rig.worker.state().connections > 0)
      await new Promise((resolve) => setTimeout(resolve, 5))
    await rig.stop()
  }
})

t.test('heads of more than 64 KiB or 512 fields are refused on the provider’s side too', async (t) => {
  const answers: [string, (provider: ByHand) => void][] = [
    ['fields', (p) => p.headers(1, [[':status', '200'], ...fields(600, '1')])],
    [
      'bytes once decoded',
      (p) => sendInPieces(p, p.block([[':status', '200'], ...fields(80, 'a'.repeat(1000))])),
    ],
    ['bytes', (p) => sendInPieces(p, Buffer.alloc(70_000, p.block([[':status', '200']])))],
  ]
  let next = 0
  const rig = await startRig({
    alpn: ['h2'],
    provider: (socket: Socket) => {
      const [, answer] = answers[next] as (typeof answers)[number]
      socket.write(frame(TYPE.settings, 0, 0, Buffer.alloc(0)))
      let received = 0
      socket.on('data', (bytes: Buffer) => {
        const before = received
        received += bytes.length
        // The client's preface, its settings and the beginning of its request.
        const enough = PREFACE.length + 9 + 20
        if (before < enough && received >= enough) answer(new ByHand(socket))
      })
    },
  })
  t.teardown(() => rig.stop())
  for (const [i, [what]] of answers.entries()) {
    next = i
    const agent = await agentByHand(rig)
    agent.headers(1, GET)
    const status = agent.read(await agent.frame(TYPE.headers, 1)).find(({ name }) => name === ':status')
    t.equal(status?.value, '502', what)
    t.match((await rig.recorder.ended(i)).end, { error: { code: 'upstream_protocol_error' } })
    agent.socket.destroy()
  }
})

const fields = (count: number, value: string) =>
  Array.from({ length: count }, (_, i) => [`x-${i}`, value] as const)

function sendInPieces(provider: ByHand, block: Buffer): void {
  for (let at = 0; at < block.length; at += 16_384) {
    const last = at + 16_384 >= block.length
    provider.send(
      at === 0 ? TYPE.headers : TYPE.continuation,
      last ? 4 : 0,
      1,
      block.subarray(at, at + 16_384),
    )
  }
}

t.test(
  'an end waits for the bytes before it: until the agent’s system has them, nothing is over',
  async (t) => {
    const taken: (() => void)[] = []
    const socket = new Duplex({ read() {}, write: (_bytes, _encoding, done) => void taken.push(done) })
    const pipe = new AgentPipe(socket as Socket, {
      agentData() {},
      agentDrained() {},
      agentEnded() {},
      agentClosed() {},
    })
    pipe.write(Buffer.from('the last of an answer'))
    let sent = false
    pipe.close(() => {
      sent = true
    })
    await new Promise((resolve) => setTimeout(resolve, 20))
    t.same([taken.length, sent, pipe.busy], [1, false, true])
    for (const done of taken) done()
    await new Promise((resolve) => setTimeout(resolve, 20))
    t.same([sent, pipe.busy], [true, false])
  },
)
