/** OpenAI chat completions, completions and embeddings, and those who speak like them. */
import { count, field, list, present, text } from './fields.ts'
import type { Found, WireStyle } from './wire-style.ts'

/** `prompt_tokens` includes what was read from the cache. */
function usage(value: unknown): Found {
  return present<Found>({
    'gen_ai.usage.input_tokens': count(field(value, 'prompt_tokens')),
    'gen_ai.usage.output_tokens': count(field(value, 'completion_tokens')),
    'gen_ai.usage.cache_read.input_tokens':
      count(field(value, 'prompt_tokens_details', 'cached_tokens')) ??
      // DeepSeek
      count(field(value, 'prompt_cache_hit_tokens')),
    'gen_ai.usage.reasoning.output_tokens': count(
      field(value, 'completion_tokens_details', 'reasoning_tokens'),
    ),
  })
}

function common(body: unknown): Found {
  return {
    ...present<Found>({
      'gen_ai.response.id': text(field(body, 'id')),
      'gen_ai.response.model': text(field(body, 'model')),
    }),
    // Groq puts a stream's usage here.
    ...usage(field(body, 'x_groq', 'usage')),
    ...usage(field(body, 'usage')),
  }
}

/** Choices whose reasons are kept; `n` in a request may be 128. */
const MAX_CHOICES = 128

function reasonsOf(reasons: ReadonlyMap<number, string>): Found {
  const ordered = [...reasons].sort(([a], [b]) => a - b).map(([, reason]) => reason)
  return ordered.length === 0 ? {} : { 'gen_ai.response.finish_reasons': ordered }
}

function noteReasons(reasons: Map<number, string>, body: unknown): void {
  for (const [i, choice] of list(field(body, 'choices')).entries()) {
    const reason = text(field(choice, 'finish_reason'))
    const index = count(field(choice, 'index')) ?? i
    if (reason !== undefined && (reasons.size < MAX_CHOICES || reasons.has(index))) reasons.set(index, reason)
  }
}

export const openaiChat: WireStyle = {
  response(body) {
    const reasons = new Map<number, string>()
    noteReasons(reasons, body)
    return { ...common(body), ...reasonsOf(reasons) }
  },
  stream() {
    const reasons = new Map<number, string>()
    let found: Found = {}
    return {
      event(data) {
        found = { ...found, ...common(data) }
        noteReasons(reasons, data)
      },
      found: () => ({ ...found, ...reasonsOf(reasons) }),
    }
  },
}
