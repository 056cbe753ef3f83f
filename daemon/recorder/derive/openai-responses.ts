/** OpenAI responses: the whole response stands in the body, or in the typed event that ends the stream. */
import { count, field, present, text } from './fields.ts'
import type { Found, WireStyle } from './wire-style.ts'

function response(body: unknown): Found {
  const status = text(field(body, 'status'))
  const over = status === 'completed' || status === 'incomplete' || status === 'failed'
  const reason = text(field(body, 'incomplete_details', 'reason')) ?? (over ? status : undefined)
  const usage = field(body, 'usage')
  return present<Found>({
    'gen_ai.response.id': text(field(body, 'id')),
    'gen_ai.response.model': text(field(body, 'model')),
    'gen_ai.response.finish_reasons': reason === undefined ? undefined : [reason],
    'gen_ai.usage.input_tokens': count(field(usage, 'input_tokens')),
    'gen_ai.usage.output_tokens': count(field(usage, 'output_tokens')),
    'gen_ai.usage.cache_read.input_tokens': count(field(usage, 'input_tokens_details', 'cached_tokens')),
    'gen_ai.usage.reasoning.output_tokens': count(field(usage, 'output_tokens_details', 'reasoning_tokens')),
  })
}

export const openaiResponses: WireStyle = {
  response,
  stream() {
    let found: Found = {}
    return {
      event(data) {
        // response.created, .in_progress, .completed, .incomplete, .failed carry it; the deltas don't.
        const carried = field(data, 'response')
        if (carried !== undefined) found = { ...found, ...response(carried) }
      },
      found: () => found,
    }
  },
}
