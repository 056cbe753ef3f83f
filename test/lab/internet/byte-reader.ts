import type { Readable } from 'node:stream'

/** The peer ended or broke off in the middle of something. */
export class UnexpectedEnd extends Error {
  constructor() {
    super('the connection ended in the middle of a request')
  }
}

/** Reads a byte stream piece by piece, keeping what it has not handed out yet. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)

  constructor(source: Readable) {
    this.#chunks = source.iterator({ destroyOnReturn: false })
  }

  /** Up to and including `marker`; undefined where the stream ends before its first byte. */
  async through(marker: string, limit: number): Promise<Buffer | undefined> {
    let searched = 0
    for (;;) {
      const at = this.#rest.indexOf(marker, searched, 'latin1')
      if (at >= 0) return this.#take(at + marker.length)
      if (this.#rest.length > limit) throw new Error(`no end of line or head within ${limit} bytes`)
      searched = Math.max(0, this.#rest.length - marker.length + 1)
      const chunk = await this.#next()
      if (chunk === undefined) {
        if (this.#rest.length === 0) return undefined
        throw new UnexpectedEnd()
      }
      this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    }
  }

  /** The next byte, which stays to be read; undefined where the stream has ended. */
  async peek(): Promise<number | undefined> {
    while (this.#rest.length === 0) {
      const chunk = await this.#next()
      if (chunk === undefined) return undefined
      this.#rest = chunk
    }
    return this.#rest[0]
  }

  async exactly(length: number): Promise<Buffer> {
    const pieces = [this.#rest]
    let have = this.#rest.length
    while (have < length) {
      const chunk = await this.#next()
      if (chunk === undefined) throw new UnexpectedEnd()
      pieces.push(chunk)
      have += chunk.length
    }
    this.#rest = pieces.length === 1 ? this.#rest : Buffer.concat(pieces, have)
    return this.#take(length)
  }

  /** Whatever else comes, as it comes. */
  async *rest(): AsyncGenerator<Buffer> {
    if (this.#rest.length > 0) yield this.#take(this.#rest.length)
    for (let chunk = await this.#next(); chunk !== undefined; chunk = await this.#next()) yield chunk
  }

  #take(length: number): Buffer {
    const taken = this.#rest.subarray(0, length)
    this.#rest = this.#rest.subarray(length)
    return taken
  }

  async #next(): Promise<Buffer | undefined> {
    const step = await this.#chunks.next()
    return step.done ? undefined : step.value
  }
}
