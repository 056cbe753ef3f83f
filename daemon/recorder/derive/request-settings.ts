/** What a request asks of the sampler, under OpenTelemetry's names. */
import { count, number, present, text, whole } from './fields.ts'
import type { Found } from './wire-style.ts'

/** The values as the provider's own fields have them, of whatever type. */
export interface Settings {
  readonly model?: unknown
  readonly stream?: unknown
  readonly maxTokens?: unknown
  readonly temperature?: unknown
  readonly topP?: unknown
  readonly topK?: unknown
  readonly frequencyPenalty?: unknown
  readonly presencePenalty?: unknown
  readonly seed?: unknown
  readonly choices?: unknown
}

export function settings(asked: Settings): Found {
  return present<Found>({
    'gen_ai.request.model': text(asked.model),
    'gen_ai.request.stream': typeof asked.stream === 'boolean' ? asked.stream : undefined,
    'gen_ai.request.max_tokens': count(asked.maxTokens),
    'gen_ai.request.temperature': number(asked.temperature),
    'gen_ai.request.top_p': number(asked.topP),
    'gen_ai.request.top_k': number(asked.topK),
    'gen_ai.request.frequency_penalty': number(asked.frequencyPenalty),
    'gen_ai.request.presence_penalty': number(asked.presencePenalty),
    'gen_ai.request.seed': whole(asked.seed),
    'gen_ai.request.choice.count': count(asked.choices),
  })
}
