/** What is said on a WebSocket, held until the turns that it belongs to are anchored. */
import { once } from 'node:events'
import t, { type Test } from 'tap'
import type { WebSocket } from 'ws'
import type { HoldSettings } from '../../daemon/proxy/holding/holds.ts'
import { message, startWebSocketRig, type Turn, type WebSocketRig } from './web-socket-rig.ts'

const hold: HoldSettings = { level: 'included', maxMs: 60_000, onFailure: 'block' }
const json = (value: unknown) => JSON.stringify(value)
const settle = (ms = 80) => new Promise((resolve) => setTimeout(resolve, ms))

/** Speaks as OpenAI's realtime interface does. */
function realtime(ws: WebSocket): void {
  ws.send(json({ type: 'session.created' }))
  ws.on('message', (data) => {
    const { type } = JSON.parse(String(data))
    if (type === 'conversation.item.create') ws.send(json({ type: 'conversation.item.created' }))
    if (type !== 'response.create') return
    ws.send(json({ type: 'response.created' }))
    ws.send(json({ type: 'response.output_text.delta', delta: 'hi' }))
    setTimeout(() => ws.send(json({ type: 'response.done' })), 10)
  })
}

async function rigOf(t: Test, serve: (ws: WebSocket) => void, over: object = {}): Promise<WebSocketRig> {
  const rig = await startWebSocketRig(serve, { hold, ...over })
  t.teardown(() => rig.stop())
  return rig
}
const reach = (rig: WebSocketRig, turn: Turn | undefined) =>
  rig.recorder.reach(turn?.frames[0]?.exchange as number)

for (const perMessageDeflate of [false, { threshold: 0 }]) {
  const how = perMessageDeflate ? 'compressed' : 'plain'
  t.test(`a response is held until its turn is anchored, acknowledgements pass (${how})`, async (t) => {
    const rig = await rigOf(t, realtime, { server: { perMessageDeflate } })
    const { ws } = await rig.open({ perMessageDeflate: perMessageDeflate !== false })
    const got: string[] = []
    ws.on('message', (data) => got.push(JSON.parse(String(data)).type))
    for (const n of [1, 2]) {
      got.length = 0
      ws.send(json({ type: 'conversation.item.create' }))
      while (!got.includes('conversation.item.created')) await once(ws, 'message')
      t.ok(got.includes('conversation.item.created'), 'the client may go on')
      ws.send(json({ type: 'response.create' }))
      const turn = (await rig.turns(n)).at(-1)
      t.match(turn?.end, { outcome: 'complete', hold: true })
      await settle()
      t.notOk(got.includes('response.output_text.delta'), 'nothing of the response is there')
      reach(rig, turn)
      while (!got.includes('response.done')) await once(ws, 'message')
      t.same(got.slice(-3), ['response.created', 'response.output_text.delta', 'response.done'])
    }
    t.match(rig.worker.state(), { holding: 0, undelivered: 0 })
    ws.close()
  })
}

for (const kind of ['text', 'binary']) {
  t.test(`Gemini Live: what the model says is held, a call of a tool ends its turn (${kind})`, async (t) => {
    const say = (ws: WebSocket, value: unknown) => ws.send(json(value), { binary: kind === 'binary' })
    const said = [
      { setupComplete: {} },
      { serverContent: { modelTurn: { parts: [{ text: 'let me see' }] } } },
      { toolCall: { functionCalls: [{ name: 'look' }] } },
    ]
    const rig = await rigOf(t, (ws) => {
      ws.on('message', (data) => {
        if (String(data).includes('setup')) say(ws, said[0])
        else if (String(data).includes('toolResponse')) say(ws, { serverContent: { turnComplete: true } })
        else for (const one of said.slice(1)) say(ws, one)
      })
    })
    const { ws } = await rig.open()
    ws.send(json({ setup: {} }))
    t.match(await message(ws), 'setupComplete', 'the client may begin')
    const got: string[] = []
    ws.on('message', (data) => got.push(String(data)))
    ws.send(json({ clientContent: {} }))
    const [first] = await rig.turns(1)
    await settle()
    t.same(got, [])
    reach(rig, first)
    while (got.length < 2) await once(ws, 'message')
    t.match(got[1], 'toolCall')
    ws.send(json({ toolResponse: {} }))
    const [, second] = await rig.turns(2)
    t.equal(got.length, 2)
    reach(rig, second)
    while (got.length < 3) await once(ws, 'message')
    ws.close()
  })
}

t.test('the provider closes behind its answer: both come, once it is anchored', async (t) => {
  const rig = await rigOf(t, (ws) => {
    ws.on('message', () => {
      ws.send('an answer of no known interface')
      ws.close(1000, 'done')
    })
  })
  const { ws } = await rig.open({ path: '/v1/other' })
  const got: string[] = []
  ws.on('message', (data) => got.push(String(data)))
  ws.send('a question')
  const [turn] = await rig.turns(1)
  await settle()
  t.same(got, [])
  t.equal(ws.readyState, ws.OPEN)
  const closed = once(ws, 'close')
  reach(rig, turn)
  const [code] = await closed
  t.same([got, code], [['an answer of no known interface'], 1000])
})

t.test('time runs out: the connection is closed with the reason, and the answer stays here', async (t) => {
  const rig = await rigOf(t, realtime, { hold: { ...hold, maxMs: 1 } })
  const { ws } = await rig.open()
  const got: string[] = []
  ws.on('message', (data) => got.push(JSON.parse(String(data)).type))
  ws.send(json({ type: 'response.create' }))
  const [code, reason] = await once(ws, 'close')
  t.same([code, String(reason)], [1013, 'answer_not_anchored'])
  t.notOk(got.includes('response.output_text.delta'))
  await rig.recorder.until(() => rig.recorder.refusals().length > 0)
  t.match(rig.recorder.refusals(), [{ rule: 'anchoring/held' }])
})

for (const perMessageDeflate of [false, { threshold: 0 }]) {
  const how = perMessageDeflate ? 'compressed' : 'plain'
  t.test(`no turn begins while anchoring is behind (${how})`, async (t) => {
    const rig = await rigOf(t, realtime, { hold: undefined, server: { perMessageDeflate } })
    const { ws } = await rig.open({ perMessageDeflate })
    await message(ws)
    rig.recorder.admit({ refused: 'the oldest record is too old' })
    await settle()
    ws.send(json({ type: 'response.create' }))
    const [code, reason] = await once(ws, 'close')
    t.same([code, String(reason)], [1013, 'anchoring_behind'])
    await rig.recorder.until(() => rig.recorder.refusals().length > 0)
    t.match(rig.recorder.refusals(), [{ rule: 'anchoring/blocked' }])
    const [turn] = await rig.turns(1)
    t.match(turn?.end, { outcome: 'blocked', error: { code: 'anchoring_behind' } })
  })
}
