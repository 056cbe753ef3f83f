/** Ollama's own interface: lines of JSON, the last with the counts. A body without `stream` is streamed. */
import { count, field, list, present, text } from './fields.ts'
import { FinishReasons } from './finish-reasons.ts'
import { settings } from './request-settings.ts'
import { offered, ToolCalls } from './tool-calls.ts'
import type { Found, WireStyle } from './wire-style.ts'

class Answer {
  readonly #reasons = new FinishReasons()
  readonly #calls = new ToolCalls()
  #found: Found = {}

  take(data: unknown): boolean {
    const message = field(data, 'message')
    this.#found = {
      ...this.#found,
      ...present<Found>({
        'gen_ai.response.model': text(field(data, 'model')),
        'gen_ai.usage.input_tokens': count(field(data, 'prompt_eval_count')),
        'gen_ai.usage.output_tokens': count(field(data, 'eval_count')),
      }),
    }
    this.#reasons.note(field(data, 'done_reason'))
    const called = list(field(message, 'tool_calls'))
    for (const call of called)
      this.#calls.note(text(field(call, 'function', 'name')), text(field(call, 'id')))
    return (
      called.length > 0 ||
      [field(message, 'content'), field(message, 'thinking'), field(data, 'response')].some(text)
    )
  }

  found(): Found {
    return { ...this.#found, ...this.#reasons.found(), ...this.#calls.found() }
  }
}

export const ollama: WireStyle = {
  request: (body) => ({
    ...settings({
      model: field(body, 'model'),
      stream: field(body, 'stream'),
      maxTokens: field(body, 'options', 'num_predict'),
      temperature: field(body, 'options', 'temperature'),
      topP: field(body, 'options', 'top_p'),
      topK: field(body, 'options', 'top_k'),
      frequencyPenalty: field(body, 'options', 'frequency_penalty'),
      presencePenalty: field(body, 'options', 'presence_penalty'),
      seed: field(body, 'options', 'seed'),
    }),
    ...offered(list(field(body, 'tools')).map((tool) => text(field(tool, 'function', 'name')))),
  }),
  response(body) {
    const answer = new Answer()
    answer.take(body)
    return answer.found()
  },
  stream() {
    const answer = new Answer()
    return { event: (data) => answer.take(data), found: () => answer.found() }
  },
}
