/**
 * OpenAI's interfaces over WebSocket: realtime (session.created first, a response for each response.create) and
 * responses, whose events are those of its stream. A prompt with the word "weather" is answered by a call of the tool.
 */
import { createHash } from 'node:crypto'
import type { Talk } from './answer.ts'
import { countTokens, lastText, parseObject, tokensOf } from './answer.ts'

const CALL = { name: 'get_weather', arguments: '{"city":"Oslo"}' }

/** Where no model was asked for: each message is said back. */
export const echoTalk: Talk = {
  hello: [],
  answer: (message) => [json({ type: 'response.done', text: `You said: ${message}` })],
}

export function realtimeTalk(model: string): Talk {
  let said = ''
  const session = { type: 'realtime', object: 'realtime.session', id: `sess_${idOf(model)}`, model }
  return {
    hello: [JSON.stringify({ type: 'session.created', event_id: 'event_0', session })],
    answer(message) {
      const event = parseObject(Buffer.from(message))
      if (event === undefined) return [json({ type: 'error', error: { code: 'invalid_event' } })]
      if (event.type === 'session.update') return [{ type: 'session.updated', session }].map(json)
      if (event.type === 'conversation.item.create') {
        said = lastText([event.item])
        return [{ type: 'conversation.item.added', item: event.item }].map(json)
      }
      return event.type === 'response.create' ? realtimeResponse(said).map(json) : []
    },
  }
}

function realtimeResponse(prompt: string): object[] {
  const { id, output, text, usage } = whatIsSaid(prompt)
  const response = { object: 'realtime.response', id: `resp_${id}`, conversation_id: 'conv_lab' }
  const at = { response_id: response.id, item_id: `item_${id}`, output_index: 0, content_index: 0 }
  return [
    { type: 'response.created', response: { ...response, status: 'in_progress', output: [], usage: null } },
    { type: 'rate_limits.updated', rate_limits: [] },
    { type: 'response.output_item.added', response_id: response.id, output_index: 0, item: output },
    ...tokensOf(text).map((delta) => ({ type: 'response.output_text.delta', ...at, delta })),
    { type: 'response.output_item.done', response_id: response.id, output_index: 0, item: output },
    {
      type: 'response.done',
      response: { ...response, status: 'completed', output: [output], usage: usage('input_token_details') },
    },
  ]
}

export function responsesTalk(): Talk {
  return {
    hello: [],
    answer(message) {
      const asked = parseObject(Buffer.from(message))
      if (asked?.type !== 'response.create')
        return [json({ type: 'error', error: { code: 'invalid_event' } })]
      return responsesEvents(asked).map(json)
    },
  }
}

function responsesEvents(asked: Record<string, unknown>): object[] {
  const { id, output, text, usage } = whatIsSaid(lastText(asked.input))
  const response = {
    id: `resp_${id}`,
    object: 'response',
    model: asked.model,
    previous_response_id: asked.previous_response_id ?? null,
  }
  const at = { item_id: `item_${id}`, output_index: 0, content_index: 0 }
  const events = [
    { type: 'response.created', response: { ...response, status: 'in_progress', output: [], usage: null } },
    { type: 'response.output_item.added', output_index: 0, item: { ...output, status: 'in_progress' } },
    ...tokensOf(text).map((delta) => ({ type: 'response.output_text.delta', ...at, delta, logprobs: [] })),
    { type: 'response.output_item.done', output_index: 0, item: output },
    {
      type: 'response.completed',
      response: { ...response, status: 'completed', output: [output], usage: usage('input_tokens_details') },
    },
  ]
  return events.map((event, i) => ({ ...event, sequence_number: i }))
}

/** The same prompt gets the same answer, so that two ways of asking can be compared. */
function whatIsSaid(prompt: string) {
  const id = idOf(prompt)
  const calls = /weather/.test(prompt)
  const text = calls ? '' : `You said: ${prompt}`
  const message = { id: `item_${id}`, type: 'message', role: 'assistant', status: 'completed' }
  const output = calls
    ? { id: `item_${id}`, type: 'function_call', status: 'completed', call_id: `call_${id}`, ...CALL }
    : { ...message, content: [{ type: 'output_text', text, annotations: [], logprobs: [] }] }
  const input = countTokens(prompt)
  const answered = countTokens(calls ? CALL.arguments : text)
  const usage = (details: string) => ({
    total_tokens: input + answered,
    input_tokens: input,
    output_tokens: answered,
    [details]: { cached_tokens: 0 },
  })
  return { id, output, text, usage }
}

const json = (value: unknown) => JSON.stringify(value)
const idOf = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 20)
