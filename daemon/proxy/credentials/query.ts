/** Credentials in a query: `?key=…` of Gemini, `access_token`, presigned AWS requests. */
import { looksSecret } from './secret-names.ts'

const NAMES = new Set([
  'key',
  'api_key',
  'api-key',
  'access_token',
  'token',
  'sig',
  'signature',
  'code',
  'client_assertion',
])

/** @returns the text with the values of secret parameters replaced by what `replace` says for (name, value) */
export function redactQuery(text: string, replace: (name: string, value: string) => string): string {
  const start = text.indexOf('?')
  if (start < 0) return text
  const parts = text.slice(start + 1).split(/([&;#])/)
  const redacted = parts.map((part) => {
    const equals = part.indexOf('=')
    if (equals < 0 || equals === part.length - 1) return part
    const name = decoded(part.slice(0, equals)).toLowerCase()
    if (!NAMES.has(name) && !name.startsWith('x-amz-') && !looksSecret(name)) return part
    return part.slice(0, equals + 1) + replace(name, decoded(part.slice(equals + 1)))
  })
  return text.slice(0, start + 1) + redacted.join('')
}

function decoded(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
