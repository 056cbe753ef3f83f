/** `fence.nft` on disk, which the next boot loads before there is a network: the rules, headed by their checksum. Pure. */
import { createHash } from 'node:crypto'

const HEAD = '# SHA-256 of what follows: '

export function formatFenceScript(rules: string): string {
  return `${HEAD}${createHash('sha256').update(rules).digest('hex')}\n${rules}`
}

/** Whether it is, byte for byte, what {@link formatFenceScript} gave. */
export function isFenceScript(bytes: Buffer): boolean {
  const rules = bytes.subarray(bytes.indexOf('\n') + 1).toString('utf8')
  return bytes.equals(Buffer.from(formatFenceScript(rules)))
}
