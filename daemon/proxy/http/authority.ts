/** The host part of an HTTP authority (RFC 9110 §4.2): `name`, `name:port`, `[v6]:port`. */
const AUTHORITY = /^(\[[0-9a-f:.]+\]|[^\s:@/?#[\]\\,]+)(?::(\d{0,5}))?$/i

/** The host in lower case without port, brackets and trailing dot; undefined where the text is no authority. */
export function hostOf(authority: string): string | undefined {
  const host = AUTHORITY.exec(authority)?.[1]
  if (host === undefined) return undefined
  const bare = host.startsWith('[') ? host.slice(1, -1) : host
  return normalName(bare)
}

/** A name as the policy compares it: lower case, no trailing dot. */
export function normalName(name: string): string {
  const lower = name.toLowerCase()
  return lower.length > 1 && lower.endsWith('.') ? lower.slice(0, -1) : lower
}
