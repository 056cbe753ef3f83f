/** Cohere's chat, version 1: lines of JSON, the last with the whole answer. Calls have no ids. */
import { cohereSettings, cohereUsage } from './cohere-v2.ts'
import { field, list, present, text } from './fields.ts'
import { FinishReasons } from './finish-reasons.ts'
import { offered, ToolCalls } from './tool-calls.ts'
import type { Found, WireStyle } from './wire-style.ts'

function answer(body: unknown): Found {
  const calls = new ToolCalls()
  const reasons = new FinishReasons()
  for (const call of list(field(body, 'tool_calls'))) calls.note(text(field(call, 'name')))
  reasons.note(field(body, 'finish_reason'))
  return {
    ...present<Found>({ 'gen_ai.response.id': text(field(body, 'response_id')) }),
    ...cohereUsage(field(body, 'meta')),
    ...reasons.found(),
    ...calls.found(),
  }
}

export const cohereV1: WireStyle = {
  request: (body) => ({
    ...present<Found>({ 'gen_ai.conversation.id': text(field(body, 'conversation_id')) }),
    ...cohereSettings(body),
    ...offered(list(field(body, 'tools')).map((tool) => text(field(tool, 'name')))),
  }),
  response: answer,
  stream() {
    let found: Found = {}
    return {
      event(data) {
        const type = field(data, 'event_type')
        if (type === 'stream-end') {
          found = {
            ...found,
            ...answer({ finish_reason: field(data, 'finish_reason') }),
            ...answer(field(data, 'response')),
          }
        }
        return type === 'text-generation' || type === 'tool-calls-generation'
      },
      found: () => found,
    }
  },
}
