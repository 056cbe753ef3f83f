/** A call in each wire style that is request and answer, and what the canary provider says to it. Pure. */
import type { WireStyle } from '../policies/catalogue-schema.ts'

export const CANARY_MODEL = 'canary-1'
/** Tokens, as each answer has them. */
export const CANARY_USAGE = { input: 6, output: 2 } as const

export interface CanaryCall {
  readonly style: WireStyle
  readonly path: string
  readonly request: object
  readonly answer: object
}

const { input, output } = CANARY_USAGE
const PROMPT = 'Is anybody recording this?'
const WORD = 'Yes.'
const id = 'canary'
const model = CANARY_MODEL
const messages = [{ role: 'user', content: PROMPT }]
const message = { role: 'assistant', content: WORD }
const anthropic = {
  ...{ id, type: 'message', role: 'assistant', model, stop_reason: 'end_turn' },
  content: [{ type: 'text', text: WORD }],
  usage: { input_tokens: input, output_tokens: output },
}

export const CANARY_CHAT: CanaryCall = {
  style: 'openai-chat',
  path: '/v1/chat/completions',
  request: { model, messages },
  answer: {
    ...{ id: 'chatcmpl-canary', object: 'chat.completion', created: 0, model },
    choices: [{ index: 0, message, finish_reason: 'stop' }],
    usage: { prompt_tokens: input, completion_tokens: output, total_tokens: input + output },
  },
}

export const CANARY_CALLS: readonly CanaryCall[] = [
  CANARY_CHAT,
  {
    style: 'openai-responses',
    path: '/v1/responses',
    request: { model, input: PROMPT },
    answer: {
      ...{ id, object: 'response', status: 'completed', model },
      output: [{ type: 'message', role: 'assistant', content: [{ type: 'output_text', text: WORD }] }],
      usage: { input_tokens: input, output_tokens: output, total_tokens: input + output },
    },
  },
  {
    style: 'anthropic-messages',
    path: '/v1/messages',
    request: { model, max_tokens: 16, messages },
    answer: anthropic,
  },
  {
    style: 'gemini',
    path: `/v1beta/models/${model}:generateContent`,
    request: { contents: [{ role: 'user', parts: [{ text: PROMPT }] }] },
    answer: {
      ...{ responseId: id, modelVersion: model },
      candidates: [{ content: { role: 'model', parts: [{ text: WORD }] }, finishReason: 'STOP' }],
      usageMetadata: { promptTokenCount: input, candidatesTokenCount: output },
    },
  },
  {
    style: 'bedrock-converse',
    path: `/model/${model}/converse`,
    request: { messages: [{ role: 'user', content: [{ text: PROMPT }] }] },
    answer: {
      output: { message: { role: 'assistant', content: [{ text: WORD }] } },
      stopReason: 'end_turn',
      usage: { inputTokens: input, outputTokens: output, totalTokens: input + output },
    },
  },
  {
    style: 'bedrock-invoke',
    path: `/model/anthropic.${model}/invoke`,
    request: { anthropic_version: 'bedrock-2023-05-31', max_tokens: 16, messages },
    answer: anthropic,
  },
  {
    style: 'cohere-v2',
    path: '/v2/chat',
    request: { model, messages },
    answer: {
      ...{
        id,
        finish_reason: 'COMPLETE',
        message: { role: 'assistant', content: [{ type: 'text', text: WORD }] },
      },
      usage: { tokens: { input_tokens: input, output_tokens: output } },
    },
  },
  {
    style: 'ollama',
    path: '/api/chat',
    request: { model, messages, stream: false },
    answer: { model, message, done: true, done_reason: 'stop', prompt_eval_count: input, eval_count: output },
  },
]

/** The body of the answer to a request, and its type. @param target path and query */
export function canaryAnswer(target: string): { readonly type: string; readonly body: string } {
  const [path = ''] = target.split('?', 1)
  // An empty repository, as git asks for one.
  if (path.endsWith('/info/refs')) return { type: 'text/plain', body: '' }
  const { answer } = CANARY_CALLS.find((call) => call.path === path) ?? CANARY_CHAT
  return { type: 'application/json', body: JSON.stringify(answer) }
}
