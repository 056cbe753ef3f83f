/** What the target of a WebSocket's handshake tells of its messages. */
import { text } from './fields.ts'
import { pathReadings } from './path-readings.ts'

/** The style that a WebSocket's path tells, where the catalogue's says something else. */
export function messageStyleOf(target: string): string | undefined {
  for (const path of pathReadings(target)) {
    if (/\/realtime$/i.test(path)) return 'openai-realtime'
    if (/\/responses$/i.test(path)) return 'openai-responses'
    if (/BidiGenerateContent(?:Constrained)?$/i.test(path)) return 'gemini-live'
  }
  return undefined
}

/** OpenAI's realtime: `?model=`. */
export const modelInQuery = (target: string): string | undefined => text(modelsInQuery(target)[0])

/** Each that is named: of several, a server takes the first or the last. */
export function modelsInQuery(target: string): string[] {
  const start = target.indexOf('?')
  return start === -1 ? [] : new URLSearchParams(target.slice(start)).getAll('model')
}
