/**
 * What the tokens cost at list price, from the price list that @pydantic/genai-prices bundles. Its `updatePrices` would
 * ask the network: it is never called, so a record's price is that of the version named in it.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import type { Cost, UsageDetails } from '../derived.ts'
import type { Found } from './wire-style.ts'

/** Providers in the price list, by their OpenTelemetry name. Its own search would take `openai_compatible` for OpenAI. */
const PROVIDERS: Readonly<Record<string, string>> = {
  openai: 'openai',
  anthropic: 'anthropic',
  'gcp.gemini': 'google',
  'gcp.vertex_ai': 'google',
  'aws.bedrock': 'aws',
  'azure.ai.openai': 'azure',
  'azure.ai.inference': 'azure',
  mistral_ai: 'mistral',
  cohere: 'cohere',
  groq: 'groq',
  x_ai: 'x-ai',
  deepseek: 'deepseek',
  perplexity: 'perplexity',
  moonshot_ai: 'moonshotai',
  together: 'together',
  fireworks: 'fireworks',
  openrouter: 'openrouter',
  cerebras: 'cerebras',
  zhipu: 'zai',
  minimax: 'minimax',
  voyage: 'voyageai',
}

const PACKAGE = '@pydantic/genai-prices'
/** Longer than any model's name. */
const MAX_MODEL = 256

interface PriceList {
  readonly calcPrice: typeof import('@pydantic/genai-prices').calcPrice
  readonly source: string
}

let loaded: PriceList | undefined

/** With the first usage only: 15 MB and 20 ms (measured), which a start need not wait for. */
function priceList(): PriceList {
  if (loaded === undefined) {
    const require = createRequire(import.meta.url)
    const { calcPrice } = require(PACKAGE) as typeof import('@pydantic/genai-prices')
    const manifest = path.join(path.dirname(require.resolve(PACKAGE)), '..', 'package.json')
    const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }
    loaded = { calcPrice, source: `${PACKAGE} ${version}` }
  }
  return loaded
}

/**
 * @param time of the exchange, milliseconds since the epoch: prices change
 * @returns undefined where the list has no such model, or the usage makes no sense
 */
export function costOf(provider: string, found: Found, time: number): Cost | undefined {
  const model = found['gen_ai.response.model'] ?? found['gen_ai.request.model']
  const listed = Object.hasOwn(PROVIDERS, provider) ? PROVIDERS[provider] : undefined
  const input = found['gen_ai.usage.input_tokens']
  const output = found['gen_ai.usage.output_tokens']
  if (listed === undefined || model === undefined || model.length > MAX_MODEL) return undefined
  // Of a stream that broke off, a part of the usage: a price of it would pass for the price of all.
  if (input === undefined || (output === undefined && !hasNoOutput(found))) return undefined
  const parts = found.usageDetails ?? {}
  const usage = {
    input_tokens: parts.billedInput ?? input,
    output_tokens: (parts.billedOutput ?? output ?? 0) + (parts.citations ?? 0),
    output_citation_tokens: parts.citations,
    output_reasoning_tokens: found['gen_ai.usage.reasoning.output_tokens'],
    // What is billed has what the cache saved taken off.
    cache_read_tokens:
      parts.billedInput === undefined ? (found['gen_ai.usage.cache_read.input_tokens'] ?? 0) : 0,
    cache_write_tokens: found['gen_ai.usage.cache_creation.input_tokens'] ?? 0,
    cache_write_1h_tokens: parts.cacheCreationHour,
    input_audio_tokens: parts.inputAudio,
    input_image_tokens: parts.inputImage,
    cache_audio_read_tokens: parts.cacheReadAudio,
    cache_image_read_tokens: parts.cacheReadImage,
    output_audio_tokens: parts.outputAudio,
    output_image_tokens: parts.outputImage,
  }
  try {
    const { calcPrice, source } = priceList()
    const price = calcPrice(usage, model, {
      providerId: listed,
      timestamp: new Date(Number.isFinite(time) ? time : 0),
    })
    if (price === null || lacksPrice(price.model_price, listed, parts)) return undefined
    const { input_price, output_price, total_price } = price
    if (![input_price, output_price, total_price].every((price) => price >= 0)) return undefined
    return {
      currency: 'USD',
      input: dollars(input_price),
      output: dollars(output_price),
      total: dollars(total_price),
      source,
    }
  } catch {
    // It throws for a cache larger than the input: a provider's numbers. Neither they nor a price list that can't be read
    // (an upgrade took it away) are a reason to lose what else is derived.
    return undefined
  }
}

function hasNoOutput(found: Found): boolean {
  const operation = found['gen_ai.operation.name']
  return operation === 'embeddings' || (operation === undefined && found['gen_ai.request.stream'] !== true)
}

/** Where the list has no price of a part's own, it would count it at the common one: to a third of what it costs. */
function lacksPrice(prices: Readonly<Record<string, unknown>>, listed: string, parts: UsageDetails): boolean {
  const lacks = (tokens: number | undefined, key: string) => (tokens ?? 0) > 0 && prices[key] === undefined
  const audioIsApart = listed === 'openai' || listed === 'azure'
  return (
    lacks(parts.cacheCreationHour, 'cache_write_1h_mtok') ||
    (audioIsApart &&
      (lacks(parts.inputAudio, 'input_audio_mtok') || lacks(parts.outputAudio, 'output_audio_mtok')))
  )
}

/** To a billionth: sums of floating-point numbers have tails that no price list knows. */
function dollars(value: number): number {
  return Math.round(value * 1e9) / 1e9
}
