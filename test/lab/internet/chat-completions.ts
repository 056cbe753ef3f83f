/** OpenAI's chat completions, which many other providers speak (its published OpenAPI document and streaming guide). */
import {
  type Answer,
  countTokens,
  echo,
  forcedTool,
  isObject,
  jsonAnswer,
  lastText,
  type SiteRequest,
  serverSentEvent,
  streamAnswer,
  tokensOf,
} from './answer.ts'
import { idOf } from './serial.ts'

const CREATED = 1_760_000_000

/** @param usageAtEnd as Mistral has it: a stream tells the usage unasked, in the chunk that ends the answer */
export function chatCompletion(
  request: SiteRequest,
  asked: Record<string, unknown>,
  model: string,
  fields: Answer['fields'],
  usageAtEnd = false,
): Answer {
  const text = echo(lastText(asked.messages), request.behaviour)
  const tool = forcedTool(asked)
  const called = tool === undefined ? undefined : { name: tool, arguments: '{"said":"yes"}' }
  const calls = called && [{ index: 0, id: `call_${idOf(request)}`, type: 'function', function: called }]
  const prompt = countTokens(JSON.stringify(asked.messages ?? ''))
  const completion = countTokens(text)
  const usage = {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0 },
  }
  const reason = calls === undefined ? 'stop' : 'tool_calls'
  const common = { id: `chatcmpl-${idOf(request)}`, created: CREATED, model, service_tier: 'default' }
  if (asked.stream !== true) {
    const said = calls === undefined ? { content: text } : { content: null, tool_calls: calls }
    const message = { role: 'assistant', ...said, refusal: null, annotations: [] }
    const choice = { index: 0, message, logprobs: null, finish_reason: reason }
    return jsonAnswer(
      200,
      { ...common, object: 'chat.completion', choices: [choice], usage, system_fingerprint: 'fp_lab' },
      fields,
    )
  }
  const options = asked.stream_options
  const includeUsage = !usageAtEnd && isObject(options) && options.include_usage === true
  const chunk = (choices: unknown[], reported: unknown = null) =>
    serverSentEvent({
      ...common,
      object: 'chat.completion.chunk',
      system_fingerprint: 'fp_lab',
      choices,
      ...(includeUsage || reported !== null ? { usage: reported } : {}),
    })
  const delta = (content: object, finish: string | null = null, reported: unknown = null) =>
    chunk([{ index: 0, delta: content, logprobs: null, finish_reason: finish }], reported)
  return streamAnswer(
    [
      delta({ role: 'assistant', content: '', refusal: null }),
      ...(calls === undefined
        ? tokensOf(text).map((content) => delta({ content }))
        : [delta({ tool_calls: calls })]),
      delta({}, reason, usageAtEnd ? usage : null),
      ...(includeUsage ? [chunk([], usage)] : []),
      serverSentEvent('[DONE]'),
    ],
    fields,
  )
}
