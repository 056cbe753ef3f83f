/**
 * From a WebSocket's turn to what people ask about: its bodies are messages (web-socket-body.ts), JSON on both sides
 * for every LLM interface. Content is the attacker's: whatever it is, the answer is a Derived.
 */
import { messageOf } from '../../base/errors.ts'
import type { Derived } from '../derived.ts'
import { messagesOf } from '../web-socket-body.ts'
import { combined } from './combined.ts'
import type { Content, Seen } from './derive.ts'
import { parseHead, requestLine } from './http-head.ts'
import { messageStyleOf, modelInQuery } from './message-style.ts'
import { deriveMessages } from './realtime.ts'
import { sessionOf } from './session.ts'

/** Never throws. */
export function deriveTurn(seen: Seen): Derived {
  try {
    const head = parseHead(seen.requestHead)
    const { target = '' } = requestLine(head)
    const client = textsOf(seen.requestBody)
    const server = textsOf(seen.response?.body ?? Buffer.alloc(0))
    const style = messageStyleOf(target) ?? seen.style
    const derived = deriveMessages(
      style,
      { client: client.texts, server: server.texts },
      { ...seen, model: seen.model ?? modelInQuery(target), session: sessionOf(head) },
    )
    const unparsed = server.unparsed ?? client.unparsed
    return unparsed === undefined ? derived : { ...derived, unparsed }
  } catch (error) {
    return combined(seen, {}, { unparsed: `the parser failed: ${messageOf(error)}` })
  }
}

function textsOf(content: Content): { texts: string[]; unparsed?: string } {
  if (!Buffer.isBuffer(content)) return { texts: [], unparsed: content.unparsed }
  const texts: string[] = []
  for (const { kind, rsv, bytes } of messagesOf(content)) {
    if (rsv !== 0) return { texts, unparsed: 'messages under an unknown extension' }
    if (kind !== 'close') texts.push(bytes.toString())
  }
  return { texts }
}
