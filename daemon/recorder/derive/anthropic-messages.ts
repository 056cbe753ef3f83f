/** Anthropic messages. `input_tokens` there excludes the cache; OpenTelemetry's includes it. */
import { count, field, present, sum, text } from './fields.ts'
import type { Found, WireStyle } from './wire-style.ts'

interface Usage {
  input?: number
  output?: number
  cacheRead?: number
  cacheCreation?: number
}

function usage(value: unknown): Usage {
  return present<Usage>({
    input: count(field(value, 'input_tokens')),
    output: count(field(value, 'output_tokens')),
    cacheRead: count(field(value, 'cache_read_input_tokens')),
    cacheCreation: count(field(value, 'cache_creation_input_tokens')),
  })
}

function named({ input, output, cacheRead, cacheCreation }: Usage): Found {
  return present<Found>({
    'gen_ai.usage.input_tokens': sum(input, cacheRead, cacheCreation),
    'gen_ai.usage.output_tokens': output,
    'gen_ai.usage.cache_read.input_tokens': cacheRead,
    'gen_ai.usage.cache_creation.input_tokens': cacheCreation,
  })
}

function message(body: unknown): Found {
  const reason = text(field(body, 'stop_reason'))
  return present<Found>({
    'gen_ai.response.id': text(field(body, 'id')),
    'gen_ai.response.model': text(field(body, 'model')),
    'gen_ai.response.finish_reasons': reason === undefined ? undefined : [reason],
  })
}

export const anthropicMessages: WireStyle = {
  response: (body) => ({ ...message(body), ...named(usage(field(body, 'usage'))) }),
  stream() {
    let found: Found = {}
    let counts: Usage = {}
    return {
      event(data) {
        const type = field(data, 'type')
        if (type === 'message_start') {
          const started = field(data, 'message')
          found = { ...found, ...message(started) }
          // Its output_tokens count the first token or two: only message_delta has the final number.
          const { output: _, ...input } = usage(field(started, 'usage'))
          counts = { ...counts, ...input }
        } else if (type === 'message_delta') {
          const reason = text(field(data, 'delta', 'stop_reason'))
          if (reason !== undefined) found = { ...found, 'gen_ai.response.finish_reasons': [reason] }
          counts = { ...counts, ...usage(field(data, 'usage')) }
        }
      },
      found: () => ({ ...found, ...named(counts) }),
    }
  },
}
