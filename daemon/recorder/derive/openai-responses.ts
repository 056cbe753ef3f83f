/** OpenAI responses: the whole response stands in the body, or in the typed event that ends the stream. */
import { count, field, list, present, text } from './fields.ts'
import { settings } from './request-settings.ts'
import { offered, ToolCalls } from './tool-calls.ts'
import type { Found, WireStyle } from './wire-style.ts'

/** `"conv_…"` in some requests, `{id}` in others and in responses. A chain of previous_response_id is none. */
function conversation(body: unknown): string | undefined {
  const value = field(body, 'conversation')
  return text(value) ?? text(field(value, 'id'))
}

function response(body: unknown): Found {
  const status = text(field(body, 'status'))
  const over = status === 'completed' || status === 'incomplete' || status === 'failed'
  const reason = text(field(body, 'incomplete_details', 'reason')) ?? (over ? status : undefined)
  const usage = field(body, 'usage')
  return present<Found>({
    'gen_ai.conversation.id': conversation(body),
    'gen_ai.response.id': text(field(body, 'id')),
    'gen_ai.response.model': text(field(body, 'model')),
    'gen_ai.response.finish_reasons': reason === undefined ? undefined : [reason],
    'gen_ai.usage.input_tokens': count(field(usage, 'input_tokens')),
    'gen_ai.usage.output_tokens': count(field(usage, 'output_tokens')),
    'gen_ai.usage.cache_read.input_tokens': count(field(usage, 'input_tokens_details', 'cached_tokens')),
    'gen_ai.usage.cache_creation.input_tokens': count(
      field(usage, 'input_tokens_details', 'cache_write_tokens'),
    ),
    'gen_ai.usage.reasoning.output_tokens': count(field(usage, 'output_tokens_details', 'reasoning_tokens')),
  })
}

/** `function_call`, `custom_tool_call`, `mcp_call`; the provider's own tools (`web_search_call`, …) have no name. */
export function noteItem(calls: ToolCalls, item: unknown): void {
  const type = text(field(item, 'type'))
  if (type === undefined || !/_call$/.test(type)) return
  const id = text(field(item, 'call_id')) ?? text(field(item, 'id'))
  calls.note(text(field(item, 'name')) ?? type.replace(/_call$/, ''), id)
}

export function offeredTools(body: unknown): Found {
  return offered(
    list(field(body, 'tools')).map((tool) => text(field(tool, 'name')) ?? text(field(tool, 'type'))),
  )
}

export const openaiResponses: WireStyle = {
  request: (body) => ({
    ...present<Found>({
      'gen_ai.conversation.id': conversation(body),
      previousResponse: text(field(body, 'previous_response_id')),
    }),
    ...settings({
      model: field(body, 'model'),
      stream: field(body, 'stream'),
      maxTokens: field(body, 'max_output_tokens'),
      temperature: field(body, 'temperature'),
      topP: field(body, 'top_p'),
    }),
    ...offeredTools(body),
  }),
  response(body) {
    const calls = new ToolCalls()
    for (const item of list(field(body, 'output'))) noteItem(calls, item)
    return { ...response(body), ...calls.found() }
  },
  stream() {
    const calls = new ToolCalls()
    let found: Found = {}
    return {
      event(data) {
        // response.created, .in_progress, .completed, .incomplete, .failed carry it; the deltas don't.
        const carried = field(data, 'response')
        if (carried !== undefined) found = { ...found, ...response(carried) }
        const type = text(field(data, 'type')) ?? ''
        if (/^response\.output_item\.(?:added|done)$/.test(type)) noteItem(calls, field(data, 'item'))
        return type.endsWith('.delta')
      },
      found: () => ({ ...found, ...calls.found() }),
    }
  },
}
