import { deviceName } from '../../../firewall/libc.ts'
import type { PathChange } from '../../../firewall/path-events.ts'

/** A change of what turns packets beside the ruleset, in words for a record. */
export function describePath({ what, made, device, family }: PathChange): string {
  const where = device === undefined ? '' : ` on ${deviceName(device) ?? `device ${device}`}`
  const of = family === undefined ? '' : ` of IPv${family}`
  return `${what}${of} ${made ? 'made' : 'removed'}${where}`
}
