/**
 * From a WebSocket's turn to what people ask about: its bodies are messages (web-socket-body.ts), JSON on both sides
 * for every LLM interface. Content is the attacker's: whatever it is, the answer is a Derived.
 */
import type { Derived } from '../record.ts'
import { messagesOf } from '../web-socket-body.ts'
import { parseBounded } from './bounded-json.ts'
import type { Content, Seen } from './derive.ts'
import { field, present, text } from './fields.ts'
import { parseHead, requestLine } from './http-head.ts'
import { openaiResponses } from './openai-responses.ts'
import { telemetryNameOf } from './telemetry-name.ts'
import type { Found } from './wire-style.ts'

/** Never throws. */
export function deriveTurn({ provider, telemetryName, requestHead, requestBody, response }: Seen): Derived {
  const { target = '' } = requestLine(parseHead(requestHead))
  const client = values(requestBody)
  const server = values(response?.body ?? Buffer.alloc(0))
  const stream = openaiResponses.stream()
  let asked: string | undefined = modelIn(target)
  for (const message of client.values) asked = askedModel(message) ?? asked
  for (const message of server.values) {
    asked ??= askedModel(message)
    stream.event(message)
  }
  const unparsed = server.unparsed ?? client.unparsed
  const found: Found = {
    'gen_ai.operation.name': 'chat',
    'gen_ai.request.stream': true,
    ...present<Found>({ 'gen_ai.request.model': asked }),
    ...stream.found(),
  }
  const reported = found['gen_ai.usage.input_tokens'] !== undefined
  return {
    ...found,
    'gen_ai.provider.name': telemetryName ?? telemetryNameOf(provider),
    usageSource: reported ? 'reported' : 'none',
    ...(unparsed !== undefined && { unparsed }),
  }
}

function values(content: Content): { values: unknown[]; unparsed?: string } {
  if (!Buffer.isBuffer(content)) return { values: [], unparsed: content.unparsed }
  const found: unknown[] = []
  for (const { kind, rsv, bytes } of messagesOf(content)) {
    if (rsv !== 0) return { values: found, unparsed: 'messages under an unknown extension' }
    if (kind === 'close') continue
    const parsed = parseBounded(bytes)
    if ('value' in parsed) found.push(parsed.value)
  }
  return { values: found }
}

/** OpenAI's events have the request flat or around them, Gemini's `setup` names the model. */
function askedModel(message: unknown): string | undefined {
  return (
    text(field(message, 'session', 'model')) ??
    text(field(message, 'response', 'model')) ??
    text(field(message, 'setup', 'model')) ??
    text(field(message, 'model'))
  )
}

/** OpenAI's realtime: `?model=`. */
function modelIn(target: string): string | undefined {
  const query = target.slice(0, 4096).split('?')[1]
  return query === undefined ? undefined : text(new URLSearchParams(query).get('model'))
}
