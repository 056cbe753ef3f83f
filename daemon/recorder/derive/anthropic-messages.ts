/** Anthropic messages. `input_tokens` there excludes the cache; OpenTelemetry's includes it. */
import { count, details, field, list, present, sum, text } from './fields.ts'
import { FinishReasons } from './finish-reasons.ts'
import { settings } from './request-settings.ts'
import { offered, ToolCalls } from './tool-calls.ts'
import type { Found, WireStyle } from './wire-style.ts'

interface Usage {
  input?: number
  output?: number
  cacheRead?: number
  cacheCreation?: number
  cacheHour?: number
  thinking?: number
}

function usage(value: unknown): Usage {
  return present<Usage>({
    input: count(field(value, 'input_tokens')),
    output: count(field(value, 'output_tokens')),
    cacheRead: count(field(value, 'cache_read_input_tokens')),
    cacheCreation: count(field(value, 'cache_creation_input_tokens')),
    cacheHour: count(field(value, 'cache_creation', 'ephemeral_1h_input_tokens')),
    thinking: count(field(value, 'output_tokens_details', 'thinking_tokens')),
  })
}

function named({ input, output, cacheRead, cacheCreation, cacheHour, thinking }: Usage): Found {
  return {
    ...present<Found>({
      'gen_ai.usage.input_tokens': sum(input, cacheRead, cacheCreation),
      'gen_ai.usage.output_tokens': output,
      'gen_ai.usage.cache_read.input_tokens': cacheRead,
      'gen_ai.usage.cache_creation.input_tokens': cacheCreation,
      'gen_ai.usage.reasoning.output_tokens': thinking,
    }),
    ...details({ cacheCreationHour: cacheHour }),
  }
}

function identity(message: unknown): Found {
  return present<Found>({
    'gen_ai.response.id': text(field(message, 'id')),
    'gen_ai.response.model': text(field(message, 'model')),
  })
}

/** `tool_use`, and the provider's own `server_tool_use` and `mcp_tool_use`. */
function noteBlock(calls: ToolCalls, block: unknown): void {
  if (!text(field(block, 'type'))?.endsWith('tool_use')) return
  calls.note(text(field(block, 'name')), text(field(block, 'id')))
}

export const anthropicMessages: WireStyle = {
  request: (body) => ({
    ...settings({
      model: field(body, 'model'),
      stream: field(body, 'stream'),
      maxTokens: field(body, 'max_tokens'),
      temperature: field(body, 'temperature'),
      topP: field(body, 'top_p'),
      topK: field(body, 'top_k'),
    }),
    ...offered(list(field(body, 'tools')).map((tool) => text(field(tool, 'name')))),
  }),
  response(body) {
    const calls = new ToolCalls()
    const reasons = new FinishReasons()
    for (const block of list(field(body, 'content'))) noteBlock(calls, block)
    reasons.note(field(body, 'stop_reason'))
    return {
      ...identity(body),
      ...reasons.found(),
      ...named(usage(field(body, 'usage'))),
      ...calls.found(),
    }
  },
  stream() {
    const calls = new ToolCalls()
    const reasons = new FinishReasons()
    let found: Found = {}
    let counts: Usage = {}
    return {
      event(data) {
        switch (field(data, 'type')) {
          case 'message_start': {
            const started = field(data, 'message')
            found = { ...found, ...identity(started) }
            // Its output_tokens count the first token or two: only message_delta has the final number.
            const { output: _, ...input } = usage(field(started, 'usage'))
            counts = { ...counts, ...input }
            return false
          }
          case 'content_block_start':
            noteBlock(calls, field(data, 'content_block'))
            return false
          case 'content_block_delta':
            return true
          case 'message_delta':
            reasons.note(field(data, 'delta', 'stop_reason'))
            counts = { ...counts, ...usage(field(data, 'usage')) }
            return false
          default:
            return false
        }
      },
      found: () => ({ ...found, ...reasons.found(), ...named(counts), ...calls.found() }),
    }
  },
}
