/** What each provider counts in a way of its own: the parts of a usage, and what they cost at list price. */
import t from 'tap'
import { derive } from '../../daemon/recorder/derive/derive.ts'
import type { Derived } from '../../daemon/recorder/derived.ts'
import { json, requestHead, responseHead, sse, TIME } from './derive-fixture.ts'

interface Call {
  readonly provider: string
  readonly line?: string
  readonly style?: string
  readonly model?: string
  readonly usage: unknown
}

const STYLES = {
  'openai-chat': ['POST /v1/chat/completions', 'usage'],
  'openai-responses': ['POST /v1/responses', 'usage'],
  'anthropic-messages': ['POST /v1/messages', 'usage'],
  gemini: ['POST /v1beta/models/m:generateContent', 'usageMetadata'],
  'bedrock-converse': ['POST /model/m/converse', 'usage'],
  'cohere-v2': ['POST /v2/chat', 'usage'],
} as const

function call({ provider, style = 'openai-chat', line, model = 'm', usage }: Call): Derived {
  const [path, key] = STYLES[style as keyof typeof STYLES]
  const name = style === 'gemini' ? 'modelVersion' : 'model'
  return derive({
    ...{ provider, style, time: TIME },
    requestHead: requestHead(line ?? path),
    requestBody: json({ model }),
    response: {
      head: responseHead('application/json'),
      body: json({ ...(style !== 'bedrock-converse' && { [name]: model }), [key]: usage }),
    },
  })
}

const counts = (derived: Derived) => ({
  in: derived['gen_ai.usage.input_tokens'],
  out: derived['gen_ai.usage.output_tokens'],
  read: derived['gen_ai.usage.cache_read.input_tokens'],
  written: derived['gen_ai.usage.cache_creation.input_tokens'],
  reasoning: derived['gen_ai.usage.reasoning.output_tokens'],
})

t.test('reasoning is part of the output, also where a provider counts it beside', async (t) => {
  const beside = {
    ...{ prompt_tokens: 32, completion_tokens: 9, total_tokens: 135 },
    completion_tokens_details: { reasoning_tokens: 94, audio_tokens: 0 },
  }
  t.match(counts(call({ provider: 'xai', usage: beside })), { in: 32, out: 103, reasoning: 94 })
  const within = { ...beside, completion_tokens: 103 }
  t.match(counts(call({ provider: 'openai', usage: within })), { in: 32, out: 103, reasoning: 94 })
  const deep = {
    ...{ prompt_tokens: 33, completion_tokens: 7163, total_tokens: 7196 },
    ...{ citation_tokens: 20_175, num_search_queries: 18, reasoning_tokens: 73_997 },
  }
  const perplexity = call({ provider: 'perplexity', model: 'sonar-deep-research', usage: deep })
  t.match(counts(perplexity), { in: 33, out: 81_160, reasoning: 73_997 })
  t.match(perplexity.usageDetails, { citations: 20_175 })
  t.equal(perplexity.cost?.output, 0.319645, 'text at 8, reasoning at 3, citations at 2 dollars a million')
  const thinking = { input_tokens: 5, output_tokens: 90, output_tokens_details: { thinking_tokens: 70 } }
  const claude = call({ provider: 'anthropic', style: 'anthropic-messages', usage: thinking })
  t.match(counts(claude), { out: 90, reasoning: 70 })
})

t.test('what was read from a cache and written to it', async (t) => {
  const chat = {
    ...{ prompt_tokens: 1000, completion_tokens: 1, total_tokens: 1001 },
    prompt_tokens_details: { cached_tokens: 600, cache_write_tokens: 300 },
  }
  t.match(counts(call({ provider: 'openrouter', usage: chat })), { in: 1000, read: 600, written: 300 })
  const responses = {
    ...{ input_tokens: 1000, output_tokens: 1 },
    input_tokens_details: { cached_tokens: 600, cache_write_tokens: 300 },
  }
  const openai = call({ provider: 'openai', style: 'openai-responses', usage: responses })
  t.match(counts(openai), { in: 1000, read: 600, written: 300 })
  const moonshot = { prompt_tokens: 9, completion_tokens: 1, cached_tokens: 5 }
  t.match(counts(call({ provider: 'moonshot', usage: moonshot })), { in: 9, read: 5 })
  t.notOk('usageDetails' in openai)
})

t.test('an hour of cache costs twice the input, five minutes one and a quarter', async (t) => {
  const usage = (hour: number) => ({
    ...{ input_tokens: 0, output_tokens: 0, cache_read_input_tokens: 0, cache_creation_input_tokens: 1e6 },
    cache_creation: { ephemeral_5m_input_tokens: 1e6 - hour, ephemeral_1h_input_tokens: hour },
  })
  const of = (hour: number) =>
    call({
      ...{ provider: 'anthropic', style: 'anthropic-messages', model: 'claude-haiku-4-5-20251001' },
      usage: usage(hour),
    })
  t.equal(of(0).cost?.total, 1.25)
  t.notOk('usageDetails' in of(0))
  t.equal(of(1e6).cost?.total, 2)
  t.strictSame(of(1e6).usageDetails, { cacheCreationHour: 1e6 })
  const converse = call({
    ...{ provider: 'bedrock', style: 'bedrock-converse' },
    line: 'POST /model/us.anthropic.claude-sonnet-4-20250514-v1%3A0/converse',
    usage: {
      ...{ inputTokens: 1, outputTokens: 1, cacheWriteInputTokens: 500 },
      cacheDetails: [
        { ttl: '5m', inputTokens: 100 },
        { ttl: '1h', inputTokens: 400 },
      ],
    },
  })
  t.match(counts(converse), { in: 501, written: 500 })
  t.strictSame(converse.usageDetails, { cacheCreationHour: 400 })
  t.notOk('cost' in converse, 'the list has no price of an hour there')
})

t.test('audio and pictures have prices of their own', async (t) => {
  const live = {
    ...{ promptTokenCount: 1e6, candidatesTokenCount: 0, cachedContentTokenCount: 5e5 },
    promptTokensDetails: [{ modality: 'AUDIO', tokenCount: 1e6 }],
    cacheTokensDetails: [{ modality: 'AUDIO', tokenCount: 5e5 }],
  }
  const heard = call({ provider: 'gemini', style: 'gemini', model: 'gemini-2.5-flash', usage: live })
  t.match(heard.usageDetails, { inputAudio: 1e6, cacheReadAudio: 5e5 })
  t.equal(heard.cost?.total, 0.55, 'at 1 and 0.1 dollars a million, not 0.3')
  const drawn = {
    ...{ promptTokenCount: 0, candidatesTokenCount: 1e6 },
    candidatesTokensDetails: [{ modality: 'IMAGE', tokenCount: 1e6 }],
  }
  const picture = call({ provider: 'gemini', style: 'gemini', model: 'gemini-2.5-flash-image', usage: drawn })
  t.strictSame(picture.usageDetails, { outputAudio: 0, outputImage: 1e6 })
  t.equal(picture.cost?.total, 30)
  const spoken = {
    ...{ prompt_tokens: 1000, completion_tokens: 10, total_tokens: 1010 },
    prompt_tokens_details: { audio_tokens: 900, cached_tokens: 0 },
  }
  const audio = call({ provider: 'openai', model: 'gpt-4o-audio-preview', usage: spoken })
  t.strictSame(audio.usageDetails, { inputAudio: 900 })
  t.notOk('cost' in audio, 'the list has the price of text only')
})

t.test('Cohere’s price is of what it bills', async (t) => {
  const usage = {
    billed_units: { input_tokens: 1e6, output_tokens: 0 },
    tokens: { input_tokens: 3e6, output_tokens: 0 },
    cached_tokens: 2e6,
  }
  const cohere = call({ provider: 'cohere', style: 'cohere-v2', model: 'command-r-plus-08-2024', usage })
  t.match(counts(cohere), { in: 3e6 })
  t.equal(cohere.cost?.total, 2.5)
})

t.test('embeddings of which only a total is said', async (t) => {
  const voyage = derive({
    ...{ provider: 'voyage', style: 'openai-chat', time: TIME },
    requestHead: requestHead('POST /v1/embeddings'),
    requestBody: json({ model: 'voyage-3' }),
    response: {
      head: responseHead('application/json'),
      body: json({ object: 'list', model: 'voyage-3', usage: { total_tokens: 1e6 } }),
    },
  })
  t.match(counts(voyage), { in: 1e6, out: undefined })
  t.equal(voyage.cost?.total, 0.06)
})

t.test('a part of a usage has no price: it would pass for the whole', async (t) => {
  const { cost, ...broken } = derive({
    ...{ provider: 'anthropic', style: 'anthropic-messages', time: TIME },
    requestHead: requestHead('POST /v1/messages'),
    requestBody: json({ model: 'claude-haiku-4-5', stream: true }),
    response: {
      head: responseHead('text/event-stream'),
      body: sse({
        type: 'message_start',
        message: { id: 'm', model: 'claude-haiku-4-5', usage: { input_tokens: 9, output_tokens: 1 } },
      }),
    },
  })
  t.match(broken, { 'gen_ai.usage.input_tokens': 9, usageSource: 'reported' })
  t.equal(cost, undefined)
  t.notOk(
    'cost' in
      call({ provider: 'openai', model: 'gpt-4o', usage: { prompt_tokens: -1, completion_tokens: 2 } }),
  )
})
