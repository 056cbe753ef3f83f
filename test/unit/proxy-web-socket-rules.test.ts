/** A WebSocket's messages under rules that ask about requests: judged one by one, held for no longer than that takes. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { setTimeout as delay, setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { ClientOptions, WebSocket } from 'ws'
import { MAX_EXAMINED } from '../../daemon/proxy/examination/examination.ts'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import type { Policy } from '../../policies/policy.ts'
import { rulesOf } from './proxy-rig.ts'
import { message, startWebSocketRig } from './web-socket-rig.ts'

const KEY = `sk-proj-${'aB3xY9kQ'.repeat(6)}`
const CLEAN = '[redacted:openai-key]'
type Rule = Policy['traffic']['rules'][number]

const json = (value: unknown) => JSON.stringify(value)
const create = (more: object = {}) => json({ type: 'response.create', ...more })
const COMPRESSED = { perMessageDeflate: { threshold: 0 } }

/** A rig whose provider answers `response.create`, and says of all else that it has it. */
async function under(t: Test, rules: Omit<Rule, 'name'>[], options: { tls?: false } = {}) {
  const got: string[] = []
  const rig = await startWebSocketRig(
    (ws: WebSocket) => {
      ws.on('message', (data) => {
        got.push(String(data))
        if (!String(data).includes('response.create')) ws.send(json({ type: 'session.updated' }))
        else ws.send(json({ type: 'response.done', response: { status: 'completed' } }))
      })
    },
    {
      server: COMPRESSED,
      ...options,
      rules: rulesOf('standard', {
        traffic: { rules: rules.map((rule, i) => ({ ...rule, name: `r${i}` })) },
      }),
    },
  )
  t.teardown(() => rig.stop())
  return { rig, got }
}

async function open(
  t: Test,
  { rig }: Awaited<ReturnType<typeof under>>,
  options: ClientOptions & { path?: string } = {},
) {
  const { ws, socket } = await rig.open({ perMessageDeflate: false, ...options })
  t.teardown(() => ws.terminate())
  return { ws, socket }
}

for (const [how, perMessageDeflate] of [
  ['as it is', false],
  ['compressed', COMPRESSED.perMessageDeflate],
] as const) {
  t.test(`a message that a rule blocks goes nowhere, and the client hears why, ${how}`, async (t) => {
    const made = await under(t, [{ action: 'block', models: ['o3*'] }])
    const { ws } = await open(t, made, { path: '/v1/responses', perMessageDeflate })
    ws.send(create({ model: 'gpt-5' }))
    t.match(await message(ws), 'response.done')
    ws.send(create({ model: 'o3-pro' }))
    ws.send(create({ model: 'gpt-5' }))
    const closing = once(ws, 'close')
    const { type, error } = JSON.parse(await message(ws))
    t.match(
      { type, ...error },
      { type: 'permission_error', code: 'blocked_by_policy', message: /traffic\/r0/ },
    )
    t.equal(type, 'error')
    const [code, reason] = await closing
    t.strictSame([code, String(reason)], [1008, 'blocked_by_policy'])
    t.strictSame(made.got, [create({ model: 'gpt-5' })])
    const [first, second] = await made.rig.turns(2)
    t.match(first?.end, { outcome: 'complete', policy: undefined })
    t.match(second?.end, {
      outcome: 'blocked',
      policy: { rule: 'standard/traffic/r0', verdict: 'block' },
      error: { code: 'blocked_by_policy' },
    })
    t.strictSame(second?.client, [create({ model: 'o3-pro' })], 'what was tried is evidence')
  })

  t.test(`what is found is redacted on the wire, and all that follows still comes, ${how}`, async (t) => {
    const made = await under(t, [{ action: 'redact', content: ['secrets'] }])
    const { ws } = await open(t, made, { perMessageDeflate })
    const said = [create({ x: 'plain '.repeat(50) }), create({ x: `use ${KEY}`, y: 'plain '.repeat(50) })]
    said.push(create({ x: 'plain '.repeat(60) }), create({ x: KEY }))
    for (const one of said) {
      ws.send(one)
      t.match(await message(ws), 'response.done')
    }
    const clean = said.map((one) => one.replaceAll(KEY, CLEAN))
    t.strictSame(made.got, clean)
    const turns = await made.rig.turns(4)
    t.strictSame(
      turns.map(({ client }) => client),
      clean.map((one) => [one]),
    )
    const verdict = { rule: 'standard/traffic/r0', verdict: 'redact', found: ['openai-key'] }
    t.strictSame(
      turns.map(({ end }) => end?.policy),
      [undefined, verdict, undefined, verdict],
    )
    t.notMatch(Buffer.concat(made.rig.recorder.frames.map(({ payload }) => payload)).toString('latin1'), KEY)
  })

  t.test(`fragments are put together, with a ping between them, ${how}`, async (t) => {
    const made = await under(t, [{ action: 'redact', content: ['secrets'] }])
    const { ws } = await open(t, made, { perMessageDeflate })
    for (const key of [KEY, 'no key']) {
      const said = create({ x: `it is ${key}` })
      ws.send(said.slice(0, 40), { fin: false })
      ws.ping('between')
      ws.send(said.slice(40, 50), { fin: false })
      ws.send(said.slice(50), { fin: true })
      const pong = once(ws, 'pong')
      t.match(await message(ws), 'response.done')
      t.equal(String((await pong)[0]), 'between')
      t.equal(made.got.at(-1), said.replaceAll(KEY, CLEAN))
    }
  })
}

t.test('tools, content and size are asked of each message', async (t) => {
  const tools = [{ type: 'function', name: 'shell' }]
  const cases: [Omit<Rule, 'name'>, string, string][] = [
    [{ action: 'block', tools: ['shell'] }, json({ type: 'session.update', session: { tools } }), 'r0'],
    [{ action: 'block', models: ['o3'] }, json({ type: 'session.update', session: { model: 'o3' } }), 'r0'],
    [{ action: 'block', content: ['secrets'] }, create({ input: KEY }), 'openai-key'],
    [{ action: 'block', largerThan: 1000 }, create({ input: 'x'.repeat(1000) }), 'r0'],
    [
      { action: 'block', content: ['secrets'] },
      create({ input: 'x'.repeat(MAX_EXAMINED) }),
      'could not be told',
    ],
    [{ action: 'redact', content: ['secrets'] }, `no JSON ${KEY}`, 'could not be told'],
  ]
  for (const [rule, blocked, why] of cases) {
    const made = await under(t, [rule])
    const { ws } = await open(t, made)
    ws.send(create())
    t.match(await message(ws), 'response.done', 'what the rule isn’t about goes on')
    ws.send(blocked)
    t.match(JSON.parse(await message(ws)), { error: { message: new RegExp(why) } })
    t.strictSame(made.got, [create()])
  }
})

t.test(
  'where only what is allowed goes on, the model may stand in the query or in an earlier message',
  async (t) => {
    const rules = [
      { action: 'allow' as const, models: ['*-mini'], paths: ['/v1/realtime'] },
      { action: 'block' as const },
    ]
    const made = await under(t, rules)
    const inQuery = await open(t, made, { path: '/v1/realtime?model=gpt-realtime-mini' })
    inQuery.ws.send(create())
    t.match(await message(inQuery.ws), 'response.done')
    const earlier = await open(t, made)
    earlier.ws.send(json({ type: 'session.update', session: { model: 'gpt-mini' } }))
    t.match(await message(earlier.ws), 'session.updated')
    earlier.ws.send(create())
    t.match(await message(earlier.ws), 'response.done')
    const none = await open(t, made)
    none.ws.send(create())
    t.match(JSON.parse(await message(none.ws)), { error: { code: 'blocked_by_policy' } })
    await t.rejects(made.rig.open({ path: '/v1/responses' }), /403/, 'what the head decides is decided there')
  },
)

t.test(
  'nothing of a message goes out before its end, and what comes in pieces goes out as it came',
  async (t) => {
    const made = await under(t, [{ action: 'block', content: ['secrets'] }])
    const { ws, socket } = await open(t, made)
    const sent: Buffer[] = []
    const write = socket.write.bind(socket)
    socket.write = ((bytes: Buffer) => sent.push(bytes) > 0) as typeof socket.write
    ws.send(create({ x: 'hello' }))
    await setImmediate()
    socket.write = write
    const bytes = Buffer.concat(sent)
    for (const byte of bytes.subarray(0, -1)) {
      t.equal(made.got.length, 0)
      await new Promise((resolve) => socket.write(Buffer.from([byte]), resolve))
    }
    socket.write(bytes.subarray(-1))
    t.match(await message(ws), 'response.done')
    t.strictSame(made.got, [create({ x: 'hello' })])
  },
)

t.test('an agent that goes away within a message leaves a record of what came', async (t) => {
  const made = await under(t, [{ action: 'block', content: ['secrets'] }])
  const { ws } = await open(t, made)
  ws.send('half of it', { fin: false })
  ws.ping()
  ws.send(', and more', { fin: false }, () => ws.terminate())
  const [turn] = await made.rig.turns(1)
  t.match(turn?.end, { outcome: 'client-aborted' })
  t.match(turn?.client, ['half of it, and more'])
  t.strictSame(made.got, [])
})

t.test('pings without end within a message cut the connection: they wait for its verdict, too', async (t) => {
  const made = await under(t, [{ action: 'block', content: ['secrets'] }])
  const { ws } = await open(t, made)
  const closing = once(ws, 'close')
  ws.send('half of it', { fin: false })
  for (let n = 0; n < 110_000 && ws.readyState === ws.OPEN; n++) {
    ws.ping()
    if (n % 1000 === 0) await setImmediate()
  }
  await closing
  const [turn] = await made.rig.turns(1)
  t.match(turn?.end, { outcome: 'protocol-error', error: { code: 'message_too_big' } })
  t.match(turn?.client, ['half of it'])
  t.strictSame(made.got, [])
})

t.test('a turn says that one of its messages was redacted, whatever follows it', async (t) => {
  const made = await under(t, [{ action: 'redact', content: ['secrets'] }])
  const { ws } = await open(t, made, COMPRESSED)
  ws.send(json({ type: 'conversation.item.create', x: KEY }))
  ws.send(create({ x: 'goes out decompressed' }))
  while (!(await message(ws)).includes('response.done'));
  const [turn] = await made.rig.turns(1)
  t.equal(turn?.client.length, 2)
  t.match(turn?.end?.policy, { verdict: 'redact', found: ['openai-key'] })
})

t.test('a ping within a message that waits for no verdict goes on at once', async (t) => {
  const made = await under(t, [{ action: 'block', content: ['secrets'], paths: ['/v1/responses'] }])
  const { ws } = await open(t, made)
  const said = create({ x: 'in parts' })
  ws.send(said.slice(0, 9), { fin: false })
  const pong = once(ws, 'pong')
  ws.ping('between')
  t.equal(String((await pong)[0]), 'between')
  ws.send(said.slice(9), { fin: true })
  t.match(await message(ws), 'response.done')
  t.strictSame(made.got, [said])
})

t.test('what is blocked is recorded and told also where the agent ended behind it', async (t) => {
  const made = await under(t, [{ action: 'block', content: ['secrets'] }], { tls: false })
  const { ws, socket } = await open(t, made)
  const { recorder } = made.rig
  recorder.mode = 'silent'
  const asked = () => recorder.frames.filter(({ type }) => type === FrameType.RequestEnd)
  ws.send(json({ type: 'waits for the disk' }))
  ws.send(create({ x: KEY }))
  const closing = once(ws, 'close')
  const ended = once(made.rig.accepted[0] as Socket, 'end')
  socket.end()
  await ended
  await recorder.until(() => asked().length === 2)
  recorder.answer(asked()[1]?.exchange as number, true)
  t.equal((await closing)[0], 1008)
  const [turn] = await made.rig.turns(1)
  t.match(turn?.end, { outcome: 'blocked', policy: { verdict: 'block', found: ['openai-key'] } })
  t.match(turn?.client, [/waits for the disk/, KEY])
})

t.test('a verdict stands in the turn of its message where the client’s next word ends a turn', async (t) => {
  const traffic = { rules: [{ name: 'r', action: 'redact' as const, content: ['secrets'] }] }
  const rig = await startWebSocketRig((ws) => ws.on('message', () => ws.send('no known interface')), {
    rules: rulesOf('standard', { traffic }),
  })
  t.teardown(() => rig.stop())
  const { ws } = await rig.open({ path: '/v1/other' })
  for (const x of ['one', KEY, 'three']) {
    ws.send(json({ x }))
    await message(ws)
  }
  ws.close()
  const turns = await rig.turns(4)
  t.strictSame(
    turns.map(({ end }) => (end?.policy as { verdict?: string } | undefined)?.verdict),
    [undefined, 'redact', undefined, undefined],
  )
})

t.test('a turn ends also where what came of its last message is refused', async (t) => {
  const traffic = { rules: [{ name: 'r', action: 'block' as const, content: ['secrets'] }] }
  const greet = (ws: WebSocket) => ws.send(json({ type: 'session.created' }))
  const rig = await startWebSocketRig(greet, { rules: rulesOf('standard', { traffic }) })
  t.teardown(() => rig.stop())
  const { ws } = await rig.open()
  await rig.recorder.until(() => rig.recorder.frames.some(({ type }) => type === FrameType.ResponseBody))
  rig.recorder.admit({ refused: 'the oldest record is too old' })
  await delay(80)
  ws.send('half of it', { fin: false }, () => ws.terminate())
  const [turn] = await rig.turns(1)
  t.match(turn?.end, { outcome: 'client-aborted', webSocket: { messages: { client: 0, server: 1 } } })
})
