/** Credentials in a URL: `?key=…` of Gemini, `access_token`, presigned requests, user and password. */
import { looksSecret } from './secret-names.ts'

const NAMES = new Set(['code', 'ticket'])
/** Of a presigned AWS request, what is no secret. */
const PLAIN_AWS = /^x-amz-(?:algorithm|date|expires|signedheaders|content-sha256)$/

/** Stands for a parameter's name where the secret is a user or a password. */
export const USERINFO = 'userinfo'

/** A URL within a URL is looked into, this deep. */
const MAX_DEPTH = 3

/** Says what stands in the place of a secret. @param name of its parameter, or {@link USERINFO} */
export type ReplaceInUrl = (name: string, value: string) => string

/** @returns the text with the secrets of a URL, or of its path and query alone, replaced by what `replace` says */
export function redactUrl(text: string, replace: ReplaceInUrl, depth = 0): string {
  const start = text.search(/[?;#]/)
  if (start < 0) return withoutUserinfo(text, replace)
  const parts = text.slice(start).split(/([?&;#])/)
  const redacted = parts.map((part) => redactParameter(part, replace, depth))
  return withoutUserinfo(text.slice(0, start), replace) + redacted.join('')
}

function redactParameter(part: string, replace: ReplaceInUrl, depth: number): string {
  const equals = part.indexOf('=')
  if (equals < 0 || equals === part.length - 1) return part
  const name = decoded(part.slice(0, equals)).trim().toLowerCase()
  const value = part.slice(equals + 1)
  const before = part.slice(0, equals + 1)
  if (NAMES.has(name) || looksSecret(name) || (name.startsWith('x-amz-') && !PLAIN_AWS.test(name))) {
    const [secret, scope] = withoutScope(name, value)
    return before + replace(name, decoded(secret)) + scope
  }
  const inner = decoded(value)
  if (depth === MAX_DEPTH || !/[?;#&=]|:\/\//.test(inner)) return part
  const redacted = redactUrl(inner, replace, depth + 1)
  return redacted === inner ? part : before + encodeURIComponent(redacted)
}

/** `X-Amz-Credential=KEY/DATE/REGION/…`, and Google's likewise: the key alone, so that it is known again elsewhere. */
function withoutScope(name: string, value: string): [secret: string, scope: string] {
  const slash = /^x-(?:amz|goog)-credential$/.test(name) ? value.search(/\/|%2F/i) : -1
  return slash < 0 ? [value, ''] : [value.slice(0, slash), value.slice(slash)]
}

/** `https://user:password@host`: each of the two by itself. */
function withoutUserinfo(text: string, replace: ReplaceInUrl): string {
  const scheme = text.indexOf('://')
  if (scheme < 0) return text
  const start = scheme + 3
  const slash = text.indexOf('/', start)
  const at = text.lastIndexOf('@', slash < 0 ? text.length : slash)
  if (at < start) return text
  const parts = text.slice(start, at).split(/(:)/)
  const hidden = parts.map((part) => (part === ':' || part === '' ? part : replace(USERINFO, decoded(part))))
  return text.slice(0, start) + hidden.join('') + text.slice(at)
}

function decoded(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
