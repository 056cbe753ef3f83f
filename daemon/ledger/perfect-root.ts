/**
 * Roots of the perfect subtrees in a tile, straight from its bytes. A proof takes some thousand such hashes; made one
 * object each (merkle.ts), they cost three times as much and leave so much behind that collecting it shows.
 */
import { hash } from 'node:crypto'
import { HASH_SIZE } from './merkle.ts'

const PAIR = 2 * HASH_SIZE
/** A node's prefix (RFC 6962 section 2.1), then its two children. */
const node = Buffer.alloc(1 + PAIR, 0x01)

/** @param hashes a power of two of hashes, one after the other; left as they are */
export function perfectRoot(hashes: Buffer): Buffer {
  if (hashes.length === HASH_SIZE) return hashes
  const level = Buffer.alloc(hashes.length / 2)
  let below = hashes
  for (let { length } = hashes; length > HASH_SIZE; length /= 2) {
    for (let at = 0; at < length; at += PAIR) {
      below.copy(node, 1, at, at + PAIR)
      // Text of one byte a character, since a Buffer for each would be memory of its own outside of the heap.
      level.write(hash('sha256', node, 'binary'), at / 2, 'latin1')
    }
    below = level
  }
  return level.subarray(0, HASH_SIZE)
}
