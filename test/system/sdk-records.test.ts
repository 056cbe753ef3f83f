/**
 * What records say of calls by the providers' own SDKs, unmodified and at their default addresses: each as a document
 * and as a stream, with and without a tool that the model must call.
 */
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { ExchangeRecord } from '../../daemon/recorder/record.ts'
import { enterLab } from '../lab/enter.ts'
import { labWithGateway } from '../lab/lab-with-gateway.ts'
import { NODE, REPOSITORY } from '../lab/places.ts'

t.setTimeout(300_000)
await enterLab(import.meta.url)
const { lab, gateway } = await labWithGateway(t, { wide: true })

interface Api {
  readonly name: string
  readonly script: string
  readonly options?: object
  readonly env?: Record<string, string>
  readonly site: string
  readonly expected: object
  /** Why it ends, without and with a tool. */
  readonly reasons: readonly [string, string]
  /** Without: the lab's provider has no tools there. */
  readonly tools?: false
}

const aws = { AWS_REGION: 'eu-central-1', AWS_ACCESS_KEY_ID: 'AKIALAB', AWS_SECRET_ACCESS_KEY: 'lab' }
const BEDROCK_MODEL = 'eu.anthropic.claude-sonnet-4-5-20250929-v1:0'
const bedrock = {
  script: 'bedrock.mjs',
  env: aws,
  site: 'bedrock-runtime.eu-central-1.amazonaws.com',
}
const apis: readonly Api[] = [
  {
    name: 'openai, chat completions',
    script: 'openai.mjs',
    options: { apiKey: 'sk-lab' },
    site: 'api.openai.com',
    expected: {
      'gen_ai.provider.name': 'openai',
      'gen_ai.operation.name': 'chat',
      'gen_ai.request.model': 'gpt-4o-mini',
      'gen_ai.response.model': 'gpt-4o-mini',
    },
    reasons: ['stop', 'tool_calls'],
  },
  {
    name: 'openai, responses',
    script: 'openai.mjs',
    options: { apiKey: 'sk-lab', api: 'responses' },
    site: 'api.openai.com',
    expected: { 'gen_ai.operation.name': 'chat', 'gen_ai.request.model': 'gpt-5' },
    reasons: ['completed', 'completed'],
  },
  {
    name: 'the AI SDK with its OpenAI provider',
    script: 'ai-sdk.mjs',
    env: { OPENAI_API_KEY: 'sk-lab' },
    site: 'api.openai.com',
    expected: { 'gen_ai.request.model': 'gpt-5', 'gen_ai.request.max_tokens': 300 },
    reasons: ['completed', 'completed'],
  },
  {
    name: 'anthropic, messages',
    script: 'anthropic.mjs',
    options: { apiKey: 'sk-ant-lab' },
    site: 'api.anthropic.com',
    expected: {
      'gen_ai.provider.name': 'anthropic',
      'gen_ai.request.model': 'claude-sonnet-5',
      'gen_ai.request.max_tokens': 1024,
    },
    reasons: ['end_turn', 'tool_use'],
  },
  {
    name: 'google, generateContent',
    script: 'google.mjs',
    options: { apiKey: 'AIza-lab' },
    site: 'generativelanguage.googleapis.com',
    expected: {
      'gen_ai.provider.name': 'gcp.gemini',
      'gen_ai.operation.name': 'generate_content',
      'gen_ai.request.model': 'gemini-2.5-flash',
      'gen_ai.request.max_tokens': 512,
      'gen_ai.request.temperature': 0.5,
      'gen_ai.usage.reasoning.output_tokens': 3,
    },
    reasons: ['STOP', 'STOP'],
  },
  {
    name: 'mistral, chat completions',
    script: 'mistral.mjs',
    options: { apiKey: 'lab' },
    site: 'api.mistral.ai',
    expected: { 'gen_ai.provider.name': 'mistral_ai', 'gen_ai.request.model': 'mistral-small-latest' },
    reasons: ['stop', 'tool_calls'],
  },
  {
    name: 'bedrock, converse, over its own HTTP/2',
    ...bedrock,
    expected: { 'gen_ai.operation.name': 'chat', 'gen_ai.request.model': BEDROCK_MODEL },
    reasons: ['end_turn', 'tool_use'],
  },
  {
    name: 'bedrock, converse, over HTTP/1.1',
    ...bedrock,
    options: { http1: true },
    expected: {
      'gen_ai.provider.name': 'aws.bedrock',
      'gen_ai.operation.name': 'chat',
      'gen_ai.request.model': BEDROCK_MODEL,
      'gen_ai.request.max_tokens': 256,
    },
    reasons: ['end_turn', 'tool_use'],
  },
  {
    name: "bedrock, invoke with Anthropic's messages",
    ...bedrock,
    options: { api: 'invoke' },
    expected: {
      'gen_ai.request.model': BEDROCK_MODEL,
      'gen_ai.response.model': 'claude-sonnet-4-5-20250929',
      'gen_ai.request.max_tokens': 256,
    },
    reasons: ['end_turn', 'end_turn'],
    tools: false,
  },
]

interface Said {
  readonly ok: boolean
  readonly text: string
  readonly id?: string
  readonly tools: { name: string; id?: string }[]
  readonly usage: Record<string, number>
}

/** Two at a time: a laboratory has two processors. */
async function called(api: Api, stream: boolean, tool: string | undefined) {
  const prompt = `${api.name}, ${stream ? 'streamed' : 'whole'}, ${tool ?? 'no tool'}`
  const argv = JSON.stringify({ ...api.options, prompt, stream, tool })
  const outcome = await lab.run('agent1', [NODE, `${REPOSITORY}/test/lab/clients/${api.script}`, argv], {
    ...(api.env && { env: api.env }),
  })
  return { api, stream, tool, prompt, outcome }
}

// As AWS does it: what the SDK speaks unless it is told otherwise.
await lab.ask({ type: 'http2', site: bedrock.site, on: true })
const calls: Awaited<ReturnType<typeof called>>[] = []
for (const api of apis) {
  for (const tool of api.tools === false ? [undefined] : [undefined, 'look_up']) {
    calls.push(...(await Promise.all([called(api, false, tool), called(api, true, tool)])))
  }
}

/** Records of all calls that were made, once they are there. */
async function records(count: number): Promise<ExchangeRecord[]> {
  const end = Date.now() + 15_000
  for (;;) {
    const { records } = await gateway.json('records', '--kind', 'exchange', '--limit', '1000')
    const rows = records as { record: ExchangeRecord }[]
    if (rows.length >= count || Date.now() > end) return rows.map(({ record }) => record)
    await delay(50)
  }
}

interface Recorded {
  readonly record: ExchangeRecord
  readonly response: Buffer
}

const byPrompt = new Map<string, Recorded>()
for (const record of await records(calls.length)) {
  const { bodies } = (await gateway.json('show', record.id, '--bodies')) as { bodies: Record<string, string> }
  const bytes = (part: string) => Buffer.from(bodies[part] ?? '', 'base64')
  const asked = bytes('request.body').toString()
  const call = calls.find(({ prompt }) => asked.includes(JSON.stringify(prompt)))
  if (call !== undefined) byPrompt.set(call.prompt, { record, response: bytes('response.body') })
}
const wire = (await lab.wireLog()).flatMap(({ site, exchanges }) =>
  exchanges.map((exchange) => ({ site, ...exchange })),
)

for (const { api, stream, tool, prompt, outcome } of calls) {
  t.test(prompt, async (t) => {
    t.equal(outcome.code, 0, outcome.stdout + outcome.stderr)
    const said = JSON.parse(outcome.stdout) as Said
    t.equal(said.text, tool === undefined ? `You said: ${prompt}` : '', 'the SDK got what was served')
    t.same(
      said.tools.map(({ name }) => name),
      tool === undefined ? [] : [tool],
    )

    const { record, response } = byPrompt.get(prompt) ?? {}
    t.match(record, { outcome: 'complete', http: { status: 200 }, agent: { uid: 4001 } })
    const served = wire.find(
      ({ site, body }) => site === api.site && body.includes(JSON.stringify(prompt)),
    )?.response
    t.ok(served && response?.equals(bodyOf(served)), 'the stored answer is what the provider served')

    const derived = record?.derived
    t.match(derived, {
      ...api.expected,
      'gen_ai.response.finish_reasons': [api.reasons[tool === undefined ? 0 : 1]],
      'gen_ai.usage.input_tokens': inputOf(said.usage),
      'gen_ai.usage.output_tokens': outputOf(said.usage),
      usageSource: 'reported',
      cost: { currency: 'USD', source: /^@pydantic\/genai-prices / },
    })
    t.equal(derived?.unparsed, undefined)
    t.equal(derived?.['gen_ai.request.stream'] ?? false, stream, 'streamed')
    if (said.id !== undefined) t.equal(derived?.['gen_ai.response.id'], said.id)
    if (tool === undefined) {
      t.notOk(derived && ('tools' in derived || 'toolsOffered' in derived))
    } else {
      t.same(derived?.tools, said.tools, 'the tool called')
      t.match(derived, { toolCalls: 1, toolsOffered: { count: 1, names: [tool] } })
    }
    if (stream) {
      t.ok((derived?.streaming?.pieces ?? 0) > 0)
      t.ok((derived?.streaming?.firstToken ?? -1) >= 0, 'when the first output came')
      t.ok((derived?.['gen_ai.response.time_to_first_chunk'] ?? -1) >= 0)
    } else {
      t.notOk(derived && 'streaming' in derived)
    }
  })
}

t.test("a refused call has the provider's word for it", async (t) => {
  const { site, script } = apis[0]!
  const before = (await records(0)).length
  const argv = JSON.stringify({ apiKey: 'invalid', prompt: 'refused' })
  const outcome = await lab.run('agent1', [NODE, `${REPOSITORY}/test/lab/clients/${script}`, argv])
  t.match(JSON.parse(outcome.stdout), { ok: false, error: { status: 401, code: 'invalid_api_key' } })
  const refused = (await records(before + 1)).find(({ http }) => http.status === 401)
  t.match(refused, { server: { name: site }, derived: { 'error.type': 'invalid_api_key' } })
})

function inputOf(usage: Record<string, number>): number | undefined {
  const names = [
    'prompt_tokens',
    'input_tokens',
    'promptTokenCount',
    'promptTokens',
    'inputTokens',
    'inputTokenCount',
  ]
  return names.map((name) => usage[name]).find((count) => count !== undefined)
}

function outputOf(usage: Record<string, number>): number | undefined {
  // Gemini counts thoughts beside the candidates.
  const { candidatesTokenCount, thoughtsTokenCount = 0 } = usage
  if (candidatesTokenCount !== undefined) return candidatesTokenCount + thoughtsTokenCount
  const names = ['completion_tokens', 'output_tokens', 'completionTokens', 'outputTokens', 'outputTokenCount']
  return names.map((name) => usage[name]).find((count) => count !== undefined)
}

/** A response's body with its transfer coding removed; of HTTP/2 the log has nothing else. */
function bodyOf(response: Buffer): Buffer {
  if (!response.subarray(0, 7).equals(Buffer.from('HTTP/1.'))) return response
  const end = response.indexOf('\r\n\r\n') + 4
  const body = response.subarray(end)
  if (!/\r\ntransfer-encoding: chunked\r\n/i.test(response.subarray(0, end).toString('latin1'))) return body
  const chunks: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    const line = body.indexOf('\r\n', at)
    const size = Number.parseInt(body.subarray(at, line).toString('latin1'), 16)
    if (size === 0) break
    chunks.push(body.subarray(line + 2, line + 2 + size))
    at = line + 2 + size + 2
  }
  return Buffer.concat(chunks)
}
