/** Keys that are known by their form, wherever they stand: in a path, in a field or parameter that nobody has listed. */
import { secrets } from '../../../policies/detectors/secrets.ts'

/** No known form is shorter. */
const SHORTEST = 20

export function withoutKnownKeys(text: string, replace: (secret: string) => string): string {
  if (text.length < SHORTEST) return text
  let redacted = ''
  let done = 0
  for (const { start, end } of [...secrets(text)].sort((a, b) => a.start - b.start)) {
    if (start < done) continue
    redacted += text.slice(done, start) + replace(text.slice(start, end))
    done = end
  }
  return redacted + text.slice(done)
}
