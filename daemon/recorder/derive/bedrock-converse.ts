/** Amazon Bedrock's Converse. `inputTokens` excludes the cache, as with Anthropic. The model stands in the path. */
import { count, details, field, list, present, sum, text } from './fields.ts'
import { FinishReasons } from './finish-reasons.ts'
import { settings } from './request-settings.ts'
import { offered, ToolCalls } from './tool-calls.ts'
import type { Found, Stream, WireStyle } from './wire-style.ts'

export function converseUsage(value: unknown): Found {
  const cacheRead =
    count(field(value, 'cacheReadInputTokens')) ?? count(field(value, 'cacheReadInputTokenCount'))
  const cacheCreation =
    count(field(value, 'cacheWriteInputTokens')) ?? count(field(value, 'cacheWriteInputTokenCount'))
  const hour = list(field(value, 'cacheDetails')).filter((each) => field(each, 'ttl') === '1h')
  return {
    ...present<Found>({
      'gen_ai.usage.input_tokens': sum(count(field(value, 'inputTokens')), cacheRead, cacheCreation),
      'gen_ai.usage.output_tokens': count(field(value, 'outputTokens')),
      'gen_ai.usage.cache_read.input_tokens': cacheRead,
      'gen_ai.usage.cache_creation.input_tokens': cacheCreation,
    }),
    ...details({ cacheCreationHour: sum(...hour.map((each) => count(field(each, 'inputTokens')))) }),
  }
}

function noteToolUse(calls: ToolCalls, use: unknown): void {
  calls.note(text(field(use, 'name')), text(field(use, 'toolUseId')))
}

/** The events of a stream by type; Nova's own streams have the same, each in an object under its type. */
export function converseStream(): Stream & { typed(type: string | undefined, payload: unknown): boolean } {
  const calls = new ToolCalls()
  const reasons = new FinishReasons()
  let found: Found = {}
  const typed = (type: string | undefined, payload: unknown): boolean => {
    if (type === 'contentBlockStart') noteToolUse(calls, field(payload, 'start', 'toolUse'))
    if (type === 'messageStop') reasons.note(field(payload, 'stopReason'))
    if (type === 'metadata') found = { ...found, ...converseUsage(field(payload, 'usage')) }
    return type === 'contentBlockDelta'
  }
  return {
    typed,
    event: (data) => typed(text(field(data, 'type')), field(data, 'payload')),
    found: () => ({ ...found, ...reasons.found(), ...calls.found() }),
  }
}

export const bedrockConverse: WireStyle = {
  request: (body) => ({
    ...settings({
      maxTokens: field(body, 'inferenceConfig', 'maxTokens'),
      temperature: field(body, 'inferenceConfig', 'temperature'),
      topP: field(body, 'inferenceConfig', 'topP'),
    }),
    ...offered(
      list(field(body, 'toolConfig', 'tools'))
        .filter((tool) => field(tool, 'cachePoint') === undefined)
        .map((tool) => text(field(tool, 'toolSpec', 'name')) ?? text(field(tool, 'systemTool', 'name'))),
    ),
  }),
  response(body) {
    const calls = new ToolCalls()
    const reasons = new FinishReasons()
    for (const block of list(field(body, 'output', 'message', 'content'))) {
      noteToolUse(calls, field(block, 'toolUse'))
    }
    reasons.note(field(body, 'stopReason'))
    return { ...converseUsage(field(body, 'usage')), ...reasons.found(), ...calls.found() }
  },
  stream: converseStream,
}
