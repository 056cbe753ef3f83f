/** LLM sessions over WebSocket, end to end in the laboratory: the OpenAI SDK's realtime and responses, unmodified. */
import t from 'tap'
import type { ExchangeRecord } from '../../daemon/recorder/record.ts'
import { messagesOf } from '../../daemon/recorder/web-socket-body.ts'
import { enterLab } from '../lab/enter.ts'
import { startGateway } from '../lab/gateway.ts'
import { startLab } from '../lab/lab.ts'
import { NODE, REPOSITORY } from '../lab/places.ts'

t.setTimeout(120_000)
await enterLab(import.meta.url)
const lab = await startLab()
t.teardown(() => lab.stop())

interface Turn {
  readonly id: string
  readonly text: string
  readonly tools: readonly string[]
  readonly usage: { readonly input_tokens: number; readonly output_tokens: number }
}

const SITE = 'api.openai.com'
const prompts = ['first words', 'what is the weather in Oslo', 'and a third time, with more words']
const sessions = ['realtime', 'responses'] as const
const apiKey = 'sk-proj-web-socket-secret'

async function talk(api: string, env: Record<string, string> = {}): Promise<Turn[]> {
  const script = `${REPOSITORY}/test/lab/clients/openai-web-socket.mjs`
  const asked = JSON.stringify({ apiKey, api, prompts })
  const { code, stdout, stderr } = await lab.run('agent1', [NODE, script, asked], { env })
  if (code !== 0) throw new Error(`${api}: ${stdout}${stderr}`)
  return (JSON.parse(stdout) as { turns: Turn[] }).turns
}

/** What the provider was told, once it has seen so many sessions of the interface. */
async function told(api: string, count: number): Promise<string[]> {
  for (;;) {
    const seen = (await lab.wireLog())
      .filter(({ site }) => site === SITE)
      .flatMap(({ exchanges }) => exchanges)
      .filter(({ target }) => target.startsWith(`/v1/${api}`))
    if (seen.length >= count) return seen.map(({ body }) => body.toString())
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const straight = new Map<string, Turn[]>()
// Before the gateway is there nothing tells Node of the laboratory's root.
for (const api of sessions) straight.set(api, await talk(api, { NODE_OPTIONS: '--use-system-ca' }))

const gateway = await startGateway()
t.teardown(() => gateway.stop())

for (const api of sessions) {
  t.test(`records the SDK's ${api} session, one exchange a turn`, async (t) => {
    const turns = await talk(api)
    t.same(turns, straight.get(api), 'the agent is answered as without the gateway')
    const [direct, through] = await told(api, 2)
    t.equal(through, direct, 'the provider is told the same')

    const records = await recorded(api, prompts.length + 2)
    const [handshake, ...rest] = records
    t.match(handshake, { outcome: 'complete', http: { status: 101 } })
    t.equal(handshake?.webSocket, undefined)
    t.equal(rest.at(-1)?.webSocket?.close?.code, 1000, 'the close is the last turn’s')
    for (const [i, turn] of turns.entries()) {
      const record = rest[i]
      t.match(
        record,
        {
          outcome: 'complete',
          webSocket: { connection: handshake?.id, turn: i + 1 },
          derived: {
            'gen_ai.provider.name': 'openai',
            'gen_ai.request.model': api === 'realtime' ? 'gpt-realtime' : 'gpt-5',
            'gen_ai.response.id': turn.id,
            'gen_ai.response.finish_reasons': ['completed'],
            'gen_ai.usage.input_tokens': turn.usage.input_tokens,
            'gen_ai.usage.output_tokens': turn.usage.output_tokens,
            usageSource: 'reported',
            toolsOffered: { count: 1, names: ['get_weather'] },
          },
        },
        `${prompts[i]}`,
      )
      t.same(
        record?.derived.tools?.map(({ name }) => name) ?? [],
        turn.tools,
        'the tools that the agent was told to call',
      )
      const shown = (await gateway.json('show', record?.id ?? '', '--bodies')).bodies as Record<
        string,
        string
      >
      const said = messages(shown['request.body'])
      t.ok(said.some((text) => text.includes(prompts[i] as string)))
      t.equal(JSON.parse(said.at(-1) ?? '').type, 'response.create')
      const answered = messages(shown['response.body'])
      t.equal(JSON.parse(answered.at(-1) ?? '').response.id, turn.id)
      t.notOk(
        JSON.stringify(record).includes(apiKey) ||
          Buffer.from(shown['request.head'] ?? '', 'base64').includes(apiKey),
      )
    }
  })
}

t.test('a turn is in the log while its connection lives on', async (t) => {
  const before = (await all()).length
  const script = [
    `import OpenAI from '${REPOSITORY}/node_modules/openai/index.mjs'`,
    `import { ResponsesWS } from '${REPOSITORY}/node_modules/openai/resources/responses/ws.mjs'`,
    `const ws = new ResponsesWS(new OpenAI({ apiKey: 'sk-lives-on' }))`,
    `ws.send({ type: 'response.create', model: 'gpt-5', input: 'a long life' })`,
  ].join('\n')
  const agent = lab.spawnAs('agent1', [NODE, '--input-type=module', '-e', script])
  t.teardown(() => agent.kill('SIGKILL'))
  const end = Date.now() + 15_000
  let records = await all()
  while (records.length < before + 2 && Date.now() < end) records = await all()
  t.equal(agent.exitCode, null, 'it is still there')
  const turn = records.slice(before).find(({ webSocket }) => webSocket !== undefined)
  t.match(turn, { webSocket: { turn: 1 }, derived: { 'gen_ai.response.model': 'gpt-5' } })
})

function messages(base64: string | undefined): string[] {
  return [...messagesOf(Buffer.from(base64 ?? '', 'base64'))]
    .filter(({ kind }) => kind === 'text')
    .map(({ bytes }) => bytes.toString())
}

/** Oldest first. */
async function all(): Promise<ExchangeRecord[]> {
  const { records } = await gateway.json('records', '--limit', '1000', '--kind', 'exchange')
  return (records as { record: ExchangeRecord }[]).map(({ record }) => record).reverse()
}

/** The handshake and its turns; the log has them in the order in which they were finished. */
async function recorded(api: string, count: number): Promise<ExchangeRecord[]> {
  const end = Date.now() + 10_000
  for (;;) {
    const found = (await all()).filter(({ http }) => http.target?.startsWith(`/v1/${api}`))
    found.sort((a, b) => (a.webSocket?.turn ?? 0) - (b.webSocket?.turn ?? 0))
    if (found.length >= count || Date.now() > end) return found
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
