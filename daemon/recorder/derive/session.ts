/** The session that a client names in its request's fields, by which the exchanges of a conversation are found again. */
import { cut, text } from './fields.ts'
import type { Head } from './http-head.ts'

/** Of Claude Code; of Codex, whose names changed; of those who follow OpenRouter. The narrowest first. */
const FIELDS = [
  'x-claude-code-session-id',
  'conversation_id',
  'thread-id',
  'session_id',
  'session-id',
  'x-session-id',
]

export function sessionOf({ fields }: Head): string | undefined {
  for (const name of FIELDS) {
    const id = text(fields.get(name)?.[0])
    if (id !== undefined) return cut(id)
  }
  return undefined
}
