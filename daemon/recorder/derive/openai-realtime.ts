/** OpenAI's Realtime events. A client's `session.update` or `response.create` asks, `response.done` has the counts. */
import { count, details, field, list, present, text } from './fields.ts'
import { FinishReasons } from './finish-reasons.ts'
import { noteItem, offeredTools } from './openai-responses.ts'
import { settings } from './request-settings.ts'
import { ToolCalls } from './tool-calls.ts'
import type { Found, WireStyle } from './wire-style.ts'

function usage(value: unknown): Found {
  const input = field(value, 'input_token_details')
  const cached = field(input, 'cached_tokens_details')
  return {
    ...present<Found>({
      'gen_ai.usage.input_tokens': count(field(value, 'input_tokens')),
      'gen_ai.usage.output_tokens': count(field(value, 'output_tokens')),
      'gen_ai.usage.cache_read.input_tokens': count(field(input, 'cached_tokens')),
    }),
    ...details({
      inputAudio: count(field(input, 'audio_tokens')),
      inputImage: count(field(input, 'image_tokens')),
      cacheReadAudio: count(field(cached, 'audio_tokens')),
      cacheReadImage: count(field(cached, 'image_tokens')),
      outputAudio: count(field(value, 'output_token_details', 'audio_tokens')),
    }),
  }
}

export const openaiRealtime: WireStyle = {
  request: (session) => ({
    ...settings({
      model: field(session, 'model'),
      maxTokens: field(session, 'max_output_tokens') ?? field(session, 'max_response_output_tokens'),
      temperature: field(session, 'temperature'),
    }),
    ...offeredTools(session),
  }),
  /** Sessions are made over HTTP, too: the answer is the session. */
  response: (session) => present<Found>({ 'gen_ai.response.model': text(field(session, 'model')) }),
  stream() {
    const calls = new ToolCalls()
    const reasons = new FinishReasons()
    let found: Found = {}
    return {
      event(data) {
        const type = text(field(data, 'type')) ?? ''
        if (type === 'session.created' || type === 'session.updated') {
          found = {
            ...found,
            ...present<Found>({ 'gen_ai.response.model': text(field(data, 'session', 'model')) }),
          }
        } else if (type === 'response.done') {
          const response = field(data, 'response')
          reasons.note(field(response, 'status_details', 'reason') ?? field(response, 'status'))
          for (const item of list(field(response, 'output'))) noteItem(calls, item)
          found = {
            ...found,
            ...present<Found>({
              'gen_ai.response.id': text(field(response, 'id')),
              'gen_ai.conversation.id': text(field(response, 'conversation_id')),
            }),
            ...usage(field(response, 'usage')),
          }
        }
        return type.endsWith('.delta')
      },
      found: () => ({ ...found, ...reasons.found(), ...calls.found() }),
    }
  },
}
