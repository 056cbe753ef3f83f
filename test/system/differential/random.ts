/** Numbers that only look random: the same from the same seed, so that a failure can be had again. */

const BLOCK = 64 * 1024

export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** From 0 to below 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let x = this.#state
    x = Math.imul(x ^ (x >>> 15), x | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }

  /** Both ends included. */
  int(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from + 1))
  }

  chance(of: number): boolean {
    return this.next() < of
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(0, list.length - 1)] as T
  }

  /** Most are small, one in a thousand is of many megabytes. */
  size(most: number): number {
    const luck = this.next()
    if (luck < 0.1) return 0
    if (luck < 0.8) return this.int(1, Math.min(most, 2000))
    if (luck < 0.96) return this.int(1, Math.min(most, 64 * 1024))
    return luck < 0.999 ? this.int(1, Math.min(most, 400 * 1024)) : this.int(most >> 1, most)
  }

  /** Bytes of which no 64 KiB are like the ones before. */
  bytes(length: number): Buffer {
    const block = Buffer.allocUnsafe(Math.min(length, BLOCK))
    for (let at = 0; at < block.length; at++) block[at] = this.next() * 256
    const all = Buffer.alloc(length, block.length > 0 ? block : 0)
    for (let at = 0; at + 4 <= length; at += 4096) all.writeUInt32LE(this.int(0, 0xffff_ffff), at)
    return all
  }

  text(length: number): string {
    return this.bytes(Math.ceil((length * 3) / 4))
      .toString('base64')
      .slice(0, length)
  }

  /** The bytes in pieces: often one, sometimes many small ones. */
  cut(bytes: Buffer): Buffer[] {
    if (bytes.length < 2 || this.chance(0.5)) return [bytes]
    const most = Math.min(this.chance(0.2) ? 40 : 5, bytes.length)
    const ends = Array.from({ length: this.int(1, most) }, () => this.int(1, bytes.length - 1))
    const at = [...new Set([0, ...ends, bytes.length])].sort((a, b) => a - b)
    return at.slice(1).map((end, i) => bytes.subarray(at[i], end))
  }
}
