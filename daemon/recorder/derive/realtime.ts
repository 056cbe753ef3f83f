/** WebSocket sessions of LLM providers: one turn's messages, as text, to what is derived of an exchange. */
import type { Derived } from '../derived.ts'
import { parseBounded } from './bounded-json.ts'
import { combined, type Origin, type Part } from './combined.ts'
import { betterErrorType, errorTypeOf } from './error-type.ts'
import { field, present } from './fields.ts'
import { geminiLive } from './gemini-live.ts'
import { openaiRealtime } from './openai-realtime.ts'
import { openaiResponses } from './openai-responses.ts'
import type { Found, WireStyle } from './wire-style.ts'

/** JSON texts in the order they came; what isn't JSON (audio in binary frames) is left out. */
export interface Messages {
  readonly client: readonly string[]
  readonly server: readonly string[]
}

/** Messages that are looked at: a turn of audio has thousands of deltas, and its counts stand at the end. */
const MAX_MESSAGES = 250_000

const STYLES: Readonly<Record<string, WireStyle>> = {
  'openai-realtime': openaiRealtime,
  'openai-responses': openaiResponses,
  'gemini-live': geminiLive,
}

/**
 * Never throws.
 * @param style see messageStyleOf
 * @param origin whose session it is; `model` where the path has one (`?model=`), `session` see sessionOf
 */
export function deriveMessages(
  style: string | undefined,
  { client, server }: Messages,
  origin: Origin & { readonly model?: string | undefined; readonly session?: string | undefined },
): Derived {
  const parser = style !== undefined && Object.hasOwn(STYLES, style) ? STYLES[style] : undefined
  const known: Found = {
    ...(parser !== undefined && { 'gen_ai.operation.name': 'chat', 'gen_ai.request.stream': true }),
    ...present<Found>({
      'gen_ai.request.model': origin.model,
      'gen_ai.conversation.id': origin.session,
    }),
  }
  if (parser === undefined) {
    return combined(origin, known, { unparsed: 'no parser for the messages of this WebSocket' })
  }
  let request: Part = known
  for (const message of values(client)) request = { ...request, ...parser.request(asked(message)) }
  const stream = parser.stream()
  let response: Part = {}
  let read = 0
  for (const message of values(server)) {
    read++
    stream.event(message)
    const failure = betterErrorType(errorTypeOf(message), response['error.type'])
    if (failure !== undefined) response = { 'error.type': failure }
  }
  const unparsed = read === 0 && server.length > 0 ? { unparsed: 'response: no JSON messages' } : {}
  return combined(origin, request, { ...response, ...stream.found(), ...unparsed })
}

function* values(messages: readonly string[]): Generator<unknown> {
  for (const message of messages.slice(0, MAX_MESSAGES)) {
    const parsed = parseBounded(Buffer.from(message))
    if ('value' in parsed) yield parsed.value
  }
}

/** What OpenAI's clients send is an event around the request; Responses have it flat. */
function asked(message: unknown): unknown {
  return field(message, 'session') ?? field(message, 'response') ?? message
}
