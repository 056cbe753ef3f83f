/**
 * What a provider's message says about the turn, for the interfaces that speak JSON over WebSocket: OpenAI's responses
 * and realtime and those who speak like them, Gemini Live. Only where turns are cut hangs on it, never what is recorded.
 */

/**
 * `known`: of such an interface; `begins`, `ends`: of one response; `answers`: of a response, without having said that it
 * begins; `error`: the request went wrong.
 */
export type ServerEvent = 'known' | 'begins' | 'answers' | 'ends' | 'error'

/** As much of a message as is looked at: the type stands in front, Gemini's messages are short. */
export const LOOKED_AT = 64 * 1024

/** The first members of an object, numbers and plain strings, up to `type`. */
const TYPE =
  /^\s*\{(?:\s*"\w{1,64}"\s*:\s*(?:"[^"\\]{0,512}"|\d{1,20}|null)\s*,){0,8}?\s*"type"\s*:\s*"([\w.]{1,128})"/
const ENDS = /^response\.(?:completed|incomplete|failed|done|cancelled)$/
const GEMINI =
  /^\s*\{\s*"(?:setupComplete|serverContent|toolCall|usageMetadata|sessionResumptionUpdate|goAway)"/

/** @param text the message, or its beginning */
export function serverEvent(text: Buffer): ServerEvent | undefined {
  const start = text.toString('latin1', 0, 8192)
  const type = TYPE.exec(start)?.[1]
  if (type === undefined) return GEMINI.test(start) ? geminiEvent(text) : undefined
  if (ENDS.test(type)) return 'ends'
  if (type === 'response.created') return 'begins'
  if (type === 'error') return 'error'
  return /^(?:response|session|conversation|input_audio_buffer|rate_limits|transcription_session)\./.test(
    type,
  )
    ? 'known'
    : undefined
}

function geminiEvent(text: Buffer): ServerEvent {
  // With a call of a tool the model hands over to the client, which answers before it goes on.
  if (text.includes('"toolCall"')) return 'ends'
  if (!text.includes('"turnComplete"')) return text.includes('"serverContent"') ? 'answers' : 'known'
  try {
    const message = JSON.parse(text.toString('utf8')) as { serverContent?: { turnComplete?: unknown } } | null
    return message?.serverContent?.turnComplete === true ? 'ends' : 'answers'
  } catch {
    return 'known'
  }
}
