/**
 * `fence.nft` on disk, and `egress.nft` beside it, which the next boot loads before there is a network: the rules,
 * headed by their checksum. Pure.
 */
import { createHash } from 'node:crypto'
import { dirname, join } from 'node:path'

const HEAD = '# SHA-256 of what follows: '

/** The egress chains' script; best effort, so a file of its own. */
export const egressScriptBeside = (fenceScript: string) => join(dirname(fenceScript), 'egress.nft')

export function formatFenceScript(rules: string): string {
  return `${HEAD}${createHash('sha256').update(rules).digest('hex')}\n${rules}`
}

/** Whether it is, byte for byte, what {@link formatFenceScript} gave. */
export function isFenceScript(bytes: Buffer): boolean {
  const rules = bytes.subarray(bytes.indexOf('\n') + 1).toString('utf8')
  return bytes.equals(Buffer.from(formatFenceScript(rules)))
}
