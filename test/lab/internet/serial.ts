import { createHash } from 'node:crypto'
import type { SiteRequest } from './answer.ts'

/** The same request gets the same id, so that two ways of asking can be compared byte for byte. */
export function idOf(request: SiteRequest): string {
  return createHash('sha256').update(request.content).digest('base64url').replace(/[-_]/g, 'x').slice(0, 29)
}
