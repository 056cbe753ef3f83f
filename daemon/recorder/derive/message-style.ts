/** What the target of a WebSocket's handshake tells of its messages. */
import { text } from './fields.ts'

/** Longer than any provider's. */
const MAX_TARGET = 4096

/** The style that a WebSocket's path tells, where the catalogue's says something else. */
export function messageStyleOf(target: string): string | undefined {
  const path = target.split('?', 1)[0]!.slice(0, MAX_TARGET)
  if (/\/realtime$/.test(path)) return 'openai-realtime'
  if (/\/responses$/.test(path)) return 'openai-responses'
  if (/BidiGenerateContent(?:Constrained)?$/.test(path)) return 'gemini-live'
  return undefined
}

/** OpenAI's realtime: `?model=`. */
export function modelInQuery(target: string): string | undefined {
  const query = target.slice(0, MAX_TARGET).split('?')[1]
  return query === undefined ? undefined : text(new URLSearchParams(query).get('model'))
}
