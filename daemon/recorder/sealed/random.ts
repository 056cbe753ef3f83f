/** Random bytes from a pool: a call for twelve of them costs as much as one for 16 KiB. */
import { randomBytes } from 'node:crypto'

const POOL = 16 << 10
let pool = Buffer.alloc(0)
let next = 0

/** Bytes that nobody got before; for salts and nonces. */
export function freshRandom(length: number): Buffer {
  if (next + length > pool.length) {
    pool = randomBytes(Math.max(POOL, length))
    next = 0
  }
  next += length
  return pool.subarray(next - length, next)
}
