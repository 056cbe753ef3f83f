/**
 * Agents that other languages make: Python's and Go's own HTTP clients as Debian packages them, unmodified. Each makes
 * the same calls directly and through the gateway; what it gets must be the same, and the records must say it.
 */
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { ExchangeRecord } from '../../daemon/recorder/record.ts'
import { ANTHROPIC, OPENAI } from '../lab/addresses.ts'
import { type ChatCall, goBuildCommand, pythonCommand } from '../lab/client-commands.ts'
import { enterLab } from '../lab/enter.ts'
import { type Gateway, startGateway } from '../lab/gateway.ts'
import { startLab } from '../lab/lab.ts'

t.setTimeout(120_000)
await enterLab(import.meta.url)
const lab = await startLab()
// One of the two speaks HTTP/2, so that whoever can meets both.
await lab.ask({ type: 'http2', site: OPENAI.name, on: true })
let gateway: Gateway | undefined
t.teardown(async () => {
  await gateway?.stop()
  await lab.stop()
})

const PROGRAM = '/home/agent1/chat'
const TOOL = 'look_up'
const PYTHON = /^\/usr\/bin\/python3[.\d]*$/
const GO = /^\/home\/agent1\/chat$/

interface Client {
  readonly name: string
  readonly command: (calls: readonly ChatCall[]) => string[]
  readonly executable: RegExp
  /** What it speaks with a provider that speaks HTTP/2. */
  readonly protocol: string
}

const python = (name: string, protocol = 'HTTP/1.1'): Client => ({
  name,
  command: (calls) => pythonCommand(name, calls),
  executable: PYTHON,
  protocol,
})
const clients: readonly Client[] = [
  python('requests'),
  python('httpx'),
  python('httpx, HTTP/2', 'HTTP/2'),
  python('aiohttp'),
  {
    name: 'net/http',
    command: (calls) => [PROGRAM, JSON.stringify(calls)],
    executable: GO,
    protocol: 'HTTP/2.0',
  },
]

interface Call extends ChatCall {
  readonly prompt: string
  readonly called: boolean
  readonly provider: Provider
  /** To this provider. */
  readonly first: boolean
}

interface Provider {
  readonly site: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: (prompt: string, stream: boolean, called: boolean) => object
  readonly read: (answer: string, stream: boolean) => Expected
  readonly telemetryName: string
}

/** What the record must say, as the client's answer has it. */
interface Expected {
  readonly id: string
  readonly model: string
  readonly text: string
  readonly tools: readonly { readonly name: string; readonly id: string }[]
  readonly input: number
  readonly output: number
  readonly reason: string
}

/** Of a provider's answer or of an event of its stream, what is looked at. */
interface Json {
  readonly id?: string
  readonly model?: string
  readonly type?: string
  readonly choices?: readonly {
    readonly finish_reason?: string | null
    readonly delta?: Said
    readonly message?: Said
  }[]
  readonly usage?: Readonly<Record<string, number>>
  readonly message?: Json
  readonly content?: readonly Block[]
  readonly content_block?: Block
  readonly delta?: Block
  readonly stop_reason?: string | null
}

interface Said {
  readonly content?: string | null
  readonly tool_calls?: readonly { readonly id?: string; readonly function?: { readonly name?: string } }[]
}

interface Block {
  readonly type?: string
  readonly id?: string
  readonly name?: string
  readonly text?: string
  readonly stop_reason?: string | null
}

/** @throws Error where the answer lacks it */
function there<T>(value: T | null | undefined, what: string): T {
  if (value === undefined || value === null) throw new Error(`the answer has no ${what}`)
  return value
}

/** The events of a stream, as their data. */
const events = (stream: string): Json[] =>
  stream
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice('data: '.length)))

const openai: Provider = {
  site: OPENAI.name,
  url: `https://${OPENAI.name}/v1/chat/completions`,
  headers: { authorization: 'Bearer sk-proj-l4nguages' },
  telemetryName: 'openai',
  body: (prompt, stream, called) => ({
    model: 'gpt-4o-mini',
    messages: [{ role: 'user', content: prompt }],
    tools: [{ type: 'function', function: { name: TOOL, parameters: { type: 'object', properties: {} } } }],
    ...(called && { tool_choice: 'required' }),
    ...(stream && { stream: true, stream_options: { include_usage: true } }),
  }),
  read(answer, stream) {
    const pieces: Json[] = stream ? events(answer) : [JSON.parse(answer)]
    const choices = pieces.flatMap((piece) => there(piece.choices, 'choices'))
    const said = choices.map(({ delta, message }) => there(delta ?? message, 'message'))
    const usage = pieces.at(-1)?.usage
    return {
      id: there(pieces[0]?.id, 'id'),
      model: there(pieces[0]?.model, 'model'),
      text: said.map(({ content }) => content ?? '').join(''),
      tools: said
        .flatMap(({ tool_calls }) => tool_calls ?? [])
        .map((call) => ({
          name: there(call.function?.name, 'name of a tool'),
          id: there(call.id, 'id of a call'),
        })),
      input: there(usage?.prompt_tokens, 'prompt_tokens'),
      output: there(usage?.completion_tokens, 'completion_tokens'),
      reason: there(choices.at(-1)?.finish_reason, 'finish_reason'),
    }
  },
}

const anthropic: Provider = {
  site: ANTHROPIC.name,
  url: `https://${ANTHROPIC.name}/v1/messages`,
  headers: { 'x-api-key': 'sk-ant-l4nguages', 'anthropic-version': '2023-06-01' },
  telemetryName: 'anthropic',
  body: (prompt, stream, called) => ({
    model: 'claude-sonnet-5',
    max_tokens: 512,
    messages: [{ role: 'user', content: prompt }],
    tools: [{ name: TOOL, input_schema: { type: 'object', properties: {} } }],
    ...(called && { tool_choice: { type: 'any' } }),
    ...(stream && { stream: true }),
  }),
  read(answer, stream) {
    const pieces = stream ? events(answer) : []
    const message: Json = stream ? there(pieces[0]?.message, 'message') : JSON.parse(answer)
    const end = stream ? pieces.find(({ type }) => type === 'message_delta') : message
    const blocks = stream
      ? pieces.flatMap(({ content_block, delta }) => content_block ?? delta ?? [])
      : there(message.content, 'content')
    return {
      id: there(message.id, 'id'),
      model: there(message.model, 'model'),
      text: blocks.map(({ text }) => text ?? '').join(''),
      tools: blocks
        .filter(({ type }) => type === 'tool_use')
        .map(({ name, id }) => ({ name: there(name, 'name of a tool'), id: there(id, 'id of a call') })),
      input: there(end?.usage?.input_tokens, 'input_tokens'),
      output: there(end?.usage?.output_tokens, 'output_tokens'),
      reason: there((end?.delta ?? end)?.stop_reason, 'stop_reason'),
    }
  },
}

/** Whole and streamed, with a tool offered and with one that must be called, on one session. */
function callsOf({ name }: Client): Call[] {
  return [openai, anthropic].flatMap((provider) =>
    [false, true].flatMap((stream) =>
      [false, true].map((called) => {
        const prompt = `${provider.telemetryName} by ${name}, ${stream ? 'streamed' : 'whole'}, ${called ? 'called' : 'offered'}`
        const body = JSON.stringify(provider.body(prompt, stream, called))
        const headers = { 'content-type': 'application/json', ...provider.headers }
        return {
          url: provider.url,
          headers,
          body,
          stream,
          prompt,
          called,
          provider,
          first: !stream && !called,
        }
      }),
    ),
  )
}

interface Answer {
  readonly protocol: string
  readonly status: number
  readonly body: string
}

/**
 * @param thinks milliseconds that each provider takes for its first answer: who calls is looked for meanwhile
 * @throws Error with what the client printed where it failed
 */
async function made(client: Client, calls: readonly Call[], thinks: number): Promise<Answer[]> {
  const asked = calls.map(({ url, headers, body, stream, first }) => {
    const all = first && thinks > 0 ? { ...headers, 'x-lab': `delay=${thinks}` } : headers
    return { url, headers: all, body, stream }
  })
  const { code, stdout, stderr } = await lab.run('agent1', client.command(asked))
  if (code !== 0) throw new Error(`${client.name} ended with ${code}: ${stdout}${stderr}`)
  return JSON.parse(stdout)
}

/** Two clients at a time: a laboratory has two processors. */
async function all(thinks = 0): Promise<Answer[][]> {
  const answers: Answer[][] = []
  for (let i = 0; i < runs.length; i += 2) {
    const pair = runs.slice(i, i + 2).map(({ client, calls }) => made(client, calls, thinks))
    answers.push(...(await Promise.all(pair)))
  }
  return answers
}

/** Records by the answer's id, once all are there. */
async function records(count: number): Promise<Map<string, ExchangeRecord>> {
  const end = Date.now() + 15_000
  for (;;) {
    const listed = await gateway!.json('records', '--kind', 'exchange', '--limit', '1000')
    const all = (listed.records as { record: ExchangeRecord }[]).map(({ record }) => record)
    if (all.length >= count || Date.now() > end)
      return new Map(all.map((record) => [record.derived?.['gen_ai.response.id'] ?? '', record]))
    await delay(50)
  }
}

const built = await lab.run('agent1', goBuildCommand(PROGRAM), { timeoutMs: 60_000 })
if (built.code !== 0) throw new Error(`the client in Go can't be built: ${built.stderr}`)

const runs = clients.map((client) => ({ client, calls: callsOf(client) }))
const direct = await all()
gateway = await startGateway()
const through = await all(1000)
const recorded = await records(runs.flatMap(({ calls }) => calls).length)

for (const [nth, { client, calls }] of runs.entries()) {
  t.test(`${client.name} gets what it gets without the gateway, and the records say it`, async (t) => {
    t.same(through[nth], direct[nth], 'the same protocols, statuses and bodies')
    for (const [i, call] of calls.entries()) {
      const answer = through[nth]?.[i]
      const { prompt, stream, called, provider } = call
      t.match(
        answer,
        { status: 200, protocol: provider === openai ? client.protocol : /^HTTP\/1\.1$/ },
        prompt,
      )
      const expected = provider.read(answer?.body ?? '', stream)
      t.equal(expected.text, called ? '' : `You said: ${prompt}`)
      t.equal(expected.tools.length, called ? 1 : 0)
      const record = recorded.get(expected.id)
      t.match(record, {
        outcome: 'complete',
        server: { name: provider.site },
        http: { method: 'POST', status: 200 },
        agent: { uid: 4001, processes: [{ executable: client.executable }] },
        derived: {
          'gen_ai.provider.name': provider.telemetryName,
          'gen_ai.operation.name': 'chat',
          'gen_ai.request.model': expected.model,
          'gen_ai.response.model': expected.model,
          'gen_ai.response.finish_reasons': [expected.reason],
          'gen_ai.usage.input_tokens': expected.input,
          'gen_ai.usage.output_tokens': expected.output,
          usageSource: 'reported',
          toolsOffered: { count: 1, names: [TOOL] },
        },
      })
      t.equal(record?.derived?.['gen_ai.request.stream'] ?? false, stream, 'streamed')
      t.same(record?.derived?.tools ?? [], expected.tools, 'the tool called')
      t.equal(record?.derived?.unparsed, undefined)
    }
  })
}
