/** A WebSocket's turns in the log: through the real proxy into the real recorder. */
import { once } from 'node:events'
import t from 'tap'
import type { WebSocket } from 'ws'
import { openBodies } from '../../daemon/recorder/body-reader.ts'
import { parseLeaf } from '../../daemon/recorder/index/row.ts'
import { openIndex } from '../../daemon/recorder/index-reader.ts'
import type { ExchangeRecord } from '../../daemon/recorder/record.ts'
import { startMessage, temporaryDirectory } from './recorder-fixtures.ts'
import { startRecorder } from './recorder-process.ts'
import { startWebSocketRig } from './web-socket-rig.ts'

const json = (value: unknown) => JSON.stringify(value)
const usage = { input_tokens: 12, output_tokens: 3, input_tokens_details: { cached_tokens: 4 } }
const asked = json({ type: 'response.create', model: 'gpt-5', input: 'x'.repeat(100_000) })
const answered = [
  json({ type: 'response.created', response: { id: 'resp_1', model: 'gpt-5-2026' } }),
  json({
    type: 'response.completed',
    response: { id: 'resp_1', model: 'gpt-5-2026', status: 'completed', usage },
  }),
]

async function start(serve: (ws: WebSocket) => void) {
  const message = startMessage(temporaryDirectory())
  const recorder = await startRecorder(message)
  const rig = await startWebSocketRig(serve, { recorderSocket: message.socket, startRecorder: false })
  while (rig.worker.state().recorder === 'lost') await new Promise((resolve) => setTimeout(resolve, 5))
  const records = () => {
    const index = openIndex(message.stateDir)
    const found = index.list({ kind: 'exchange' }).map(({ bytes }) => parseLeaf(bytes) as ExchangeRecord)
    index.close()
    return found.reverse()
  }
  const stored = (digest = '') => {
    const bodies = openBodies(message.stateDir, message.bodyKey)
    const { bytes } = bodies.read(digest)
    bodies.close()
    return bytes.toString()
  }
  const recorded = async (count: number) => {
    for (;;) {
      const found = records()
      if (found.length >= count) return found
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  return { message, recorder, rig, recorded, stored }
}

t.test(
  'a turn is in the log, with its messages whole and what they say, while the connection lives',
  async (t) => {
    const { rig, recorder, recorded, stored } = await start((ws) =>
      ws.on('message', () => {
        for (const text of answered) ws.send(text)
      }),
    )
    t.teardown(() => Promise.all([rig.stop(), recorder.stop()]))
    const { ws } = await rig.open({ path: '/v1/responses' })
    ws.send(asked)
    const [handshake, turn] = await recorded(2)
    t.equal(ws.readyState, ws.OPEN)
    t.match(turn, {
      outcome: 'complete',
      http: { method: 'GET', target: '/v1/responses', status: 101 },
      webSocket: { connection: handshake?.id, turn: 1, messages: { client: 1, server: 2 }, controls: 0 },
      derived: {
        'gen_ai.request.model': 'gpt-5',
        'gen_ai.response.model': 'gpt-5-2026',
        'gen_ai.response.id': 'resp_1',
        'gen_ai.usage.input_tokens': 12,
        'gen_ai.usage.output_tokens': 3,
        usageSource: 'reported',
      },
    })
    const { durable = 0, firstByte = 0, end = 0 } = turn?.timing ?? {}
    t.ok(0 < durable && durable <= firstByte && firstByte <= end, 'in the order it happened')
    t.equal(stored(turn?.request.body.digest), `text ${asked.length}\n${asked}\n`)
    t.equal(
      stored(turn?.response?.body.digest),
      answered.map((text) => `text ${text.length}\n${text}\n`).join(''),
    )
  },
)

t.test(
  'what a Gemini Live session is about stands in each of its turns, said in binary messages',
  async (t) => {
    const usageMetadata = { promptTokenCount: 7, responseTokenCount: 2, totalTokenCount: 9 }
    const { rig, recorder, recorded } = await start((ws) => {
      const say = (value: unknown) => ws.send(Buffer.from(json(value)))
      ws.on('message', (data) => {
        if (String(data).includes('"setup"')) say({ setupComplete: {} })
        else say({ serverContent: { turnComplete: true }, usageMetadata })
      })
    })
    t.teardown(() => Promise.all([rig.stop(), recorder.stop()]))
    const path = '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent'
    const { ws } = await rig.open({ path })
    ws.send(json({ setup: { model: 'models/gemini-live-2.5', tools: [] } }))
    await once(ws, 'message')
    for (const n of [1, 2]) {
      ws.send(json({ clientContent: { turnComplete: true } }))
      const turn = (await recorded(n + 1)).at(-1)
      t.match(turn, {
        webSocket: { turn: n, model: 'gemini-live-2.5' },
        derived: {
          'gen_ai.request.model': 'gemini-live-2.5',
          'gen_ai.usage.input_tokens': 7,
          'gen_ai.response.finish_reasons': ['turnComplete'],
        },
      })
    }
  },
)

t.test(
  'a recorder that dies in the middle of a turn leaves what was acknowledged, as interrupted',
  async (t) => {
    const { rig, recorder, recorded, stored, message } = await start((ws) =>
      ws.on('message', (data) => ws.send(`got ${data}`)),
    )
    t.teardown(() => rig.stop())
    const { ws } = await rig.open()
    ws.send('acknowledged')
    await once(ws, 'message')
    const closed = once(ws, 'close')
    await recorder.kill()
    const [code] = await closed
    t.equal(code, 1013)
    const again = await startRecorder(message)
    t.teardown(() => again.stop())
    const [, turn] = await recorded(2)
    t.match(turn, { outcome: 'interrupted', webSocket: { turn: 1 } })
    t.equal(stored(turn?.request.body.digest), 'text 12\nacknowledged\n')
  },
)
