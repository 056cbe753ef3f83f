/** A record's fields as lines for people: nested names dotted, one field a line. */
export function recordRows(value: unknown, name = ''): [string, string][] {
  if (Array.isArray(value)) {
    if (value.every((item) => typeof item !== 'object')) return [[name, value.join(', ')]]
    // People count from one.
    return value.flatMap((item, i) => recordRows(item, `${name}.${i + 1}`))
  }
  if (typeof value !== 'object' || value === null) return [[name, String(value)]]
  return Object.entries(value).flatMap(([key, inner]) =>
    recordRows(inner, name === '' ? key : `${name}.${key}`),
  )
}
