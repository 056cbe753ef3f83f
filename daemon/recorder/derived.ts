/**
 * What parsers find in an exchange's bytes. Names are OpenTelemetry's where it has one (semantic conventions for
 * generative AI, 1.41); the others are told in docs/formats.md. All of it can be derived again from what is stored.
 */
import * as z from 'zod'

const Count = z.int().nonnegative()
const Milliseconds = z.number().nonnegative()

/** A tool that the model called: its name, and the id by which the result is to be given. Never its arguments. */
const ToolCall = z.strictObject({ name: z.string(), id: z.string().optional() })
export type ToolCall = z.infer<typeof ToolCall>

/**
 * Parts of the usage that have prices of their own, under names of ours: OpenTelemetry has none. All are within the
 * counts that it names, but for citations and what is billed.
 */
const UsageDetails = z.strictObject({
  inputAudio: Count.optional(),
  inputImage: Count.optional(),
  /** Of what was read from a cache. */
  cacheReadAudio: Count.optional(),
  cacheReadImage: Count.optional(),
  /** Of what was written to a cache: to be kept for an hour, at another price than for five minutes. */
  cacheCreationHour: Count.optional(),
  outputAudio: Count.optional(),
  outputImage: Count.optional(),
  /** Perplexity's, beside the output. */
  citations: Count.optional(),
  /** Cohere's: without what it adds itself. */
  billedInput: Count.optional(),
  billedOutput: Count.optional(),
})
export type UsageDetails = z.infer<typeof UsageDetails>

/** At the list price of the day, as the bundled price list has it. Not what the provider bills. */
const Cost = z.strictObject({
  currency: z.literal('USD'),
  input: z.number().nonnegative(),
  output: z.number().nonnegative(),
  total: z.number().nonnegative(),
  /** The price list and its version. */
  source: z.string(),
})
export type Cost = z.infer<typeof Cost>

/** How a streamed answer came, by the pieces in which the proxy passed it on. */
const Streaming = z.strictObject({
  /** Until the piece that completed the first event with output in it: text, reasoning, a tool's arguments. */
  firstToken: Milliseconds.optional(),
  pieces: Count,
  /** Between one piece and the next. */
  gapP50: Milliseconds.optional(),
  gapMax: Milliseconds.optional(),
})
export type Streaming = z.infer<typeof Streaming>

export const Derived = z.strictObject({
  'gen_ai.provider.name': z.string(),
  'gen_ai.operation.name': z.string().optional(),
  /** Only where the wire has one. */
  'gen_ai.conversation.id': z.string().optional(),
  'gen_ai.request.model': z.string().optional(),
  'gen_ai.request.stream': z.boolean().optional(),
  'gen_ai.request.max_tokens': Count.optional(),
  'gen_ai.request.temperature': z.number().optional(),
  'gen_ai.request.top_p': z.number().optional(),
  'gen_ai.request.top_k': z.number().optional(),
  'gen_ai.request.frequency_penalty': z.number().optional(),
  'gen_ai.request.presence_penalty': z.number().optional(),
  'gen_ai.request.seed': z.int().optional(),
  'gen_ai.request.choice.count': Count.optional(),
  'gen_ai.response.model': z.string().optional(),
  'gen_ai.response.id': z.string().optional(),
  'gen_ai.response.finish_reasons': z.array(z.string()).optional(),
  /** Seconds. */
  'gen_ai.response.time_to_first_chunk': z.number().nonnegative().optional(),
  'gen_ai.usage.input_tokens': Count.optional(),
  'gen_ai.usage.output_tokens': Count.optional(),
  'gen_ai.usage.cache_read.input_tokens': Count.optional(),
  'gen_ai.usage.cache_creation.input_tokens': Count.optional(),
  'gen_ai.usage.reasoning.output_tokens': Count.optional(),
  usageDetails: UsageDetails.optional(),
  /** The response that this one goes on from, by which turns can be put in a line. */
  previousResponse: z.string().optional(),
  /** The provider's word for what went wrong, or the status code; `_OTHER` where it says neither. */
  'error.type': z.string().optional(),
  /** reported: the provider said it; none: it did not. */
  usageSource: z.enum(['reported', 'none']),
  /** The first tools that the model called. */
  tools: z.array(ToolCall).optional(),
  /** How many it called. */
  toolCalls: Count.optional(),
  /** What the request offered: how many tools, and the first of their names. */
  toolsOffered: z.strictObject({ count: Count, names: z.array(z.string()) }).optional(),
  cost: Cost.optional(),
  streaming: Streaming.optional(),
  /** Why nothing (more) could be derived from the content, where that is so. */
  unparsed: z.string().optional(),
})
export type Derived = z.infer<typeof Derived>
