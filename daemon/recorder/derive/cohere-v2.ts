/** Cohere's chat and embeddings, version 2. Responses don't name the model. */
import { count, details, field, list, present, text } from './fields.ts'
import { FinishReasons } from './finish-reasons.ts'
import { settings } from './request-settings.ts'
import { offered, ToolCalls } from './tool-calls.ts'
import type { Found, WireStyle } from './wire-style.ts'

/** `tokens` is what went through the model; `billed_units` leaves out what Cohere adds, and is all that embeddings have. */
export function cohereUsage(value: unknown): Found {
  const counted = field(value, 'tokens') ?? field(value, 'billed_units')
  const billed = counted === field(value, 'tokens') ? field(value, 'billed_units') : undefined
  return {
    ...present<Found>({
      'gen_ai.usage.input_tokens': count(field(counted, 'input_tokens')),
      'gen_ai.usage.output_tokens': count(field(counted, 'output_tokens')),
      'gen_ai.usage.cache_read.input_tokens': count(field(value, 'cached_tokens')),
    }),
    ...details({
      billedInput: count(field(billed, 'input_tokens')),
      billedOutput: count(field(billed, 'output_tokens')),
    }),
  }
}

/** The same in both versions. */
export const cohereSettings = (body: unknown): Found =>
  settings({
    model: field(body, 'model'),
    stream: field(body, 'stream'),
    maxTokens: field(body, 'max_tokens'),
    temperature: field(body, 'temperature'),
    topP: field(body, 'p'),
    topK: field(body, 'k'),
    frequencyPenalty: field(body, 'frequency_penalty'),
    presencePenalty: field(body, 'presence_penalty'),
    seed: field(body, 'seed'),
  })

function noteCall(calls: ToolCalls, call: unknown): void {
  calls.note(text(field(call, 'function', 'name')), text(field(call, 'id')))
}

const OUTPUT = new Set<unknown>(['content-delta', 'tool-plan-delta', 'tool-call-start', 'tool-call-delta'])

export const cohereV2: WireStyle = {
  request: (body) => ({
    ...cohereSettings(body),
    ...offered(list(field(body, 'tools')).map((tool) => text(field(tool, 'function', 'name')))),
  }),
  response(body) {
    const calls = new ToolCalls()
    const reasons = new FinishReasons()
    for (const call of list(field(body, 'message', 'tool_calls'))) noteCall(calls, call)
    reasons.note(field(body, 'finish_reason'))
    return {
      ...present<Found>({ 'gen_ai.response.id': text(field(body, 'id')) }),
      ...cohereUsage(field(body, 'usage') ?? field(body, 'meta')),
      ...reasons.found(),
      ...calls.found(),
    }
  },
  stream() {
    const calls = new ToolCalls()
    const reasons = new FinishReasons()
    let found: Found = {}
    return {
      event(data) {
        const type = field(data, 'type')
        const delta = field(data, 'delta')
        if (type === 'message-start') {
          found = { ...found, ...present<Found>({ 'gen_ai.response.id': text(field(data, 'id')) }) }
        } else if (type === 'tool-call-start') {
          noteCall(calls, field(delta, 'message', 'tool_calls'))
        } else if (type === 'message-end') {
          reasons.note(field(delta, 'finish_reason'))
          found = { ...found, ...cohereUsage(field(delta, 'usage')) }
        }
        return OUTPUT.has(type)
      },
      found: () => ({ ...found, ...reasons.found(), ...calls.found() }),
    }
  },
}
