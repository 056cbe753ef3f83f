/** UUIDv7 (RFC 9562 §5.7): 48 bits of milliseconds, 74 random bits. */
import { randomFillSync } from 'node:crypto'

/** Random bytes are drawn for many ids at once: one call into OpenSSL costs more than an id. */
const pool = Buffer.alloc(10 * 256)
let used = pool.length

/** @param time milliseconds since the epoch */
export function recordId(time: number): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const id = Buffer.allocUnsafe(16)
  id.writeUIntBE(Math.floor(time), 0, 6)
  pool.copy(id, 6, used, used + 10)
  used += 10
  id[6] = ((id[6] as number) & 0x0f) | 0x70
  id[8] = ((id[8] as number) & 0x3f) | 0x80
  const hex = id.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
