/**
 * Undoes permessage-deflate (RFC 7692) for one side's record. Off the thread that forwards (zlib's own streams work
 * in libuv's pool) and no faster than the record takes it, so that a bomb costs its sender's connection and no memory.
 */
import { createInflateRaw, type InflateRaw } from 'node:zlib'
import { ProxyError } from '../proxy-error.ts'

/** Longest message after decompression; OpenAI and Google take less than 32 MiB. */
export const MAX_INFLATED = 64 << 20
/** What deflate's sync flush ends with; a sender leaves it out (§7.2.1). */
const TAIL = Buffer.from([0, 0, 0xff, 0xff])

const damaged = () =>
  new ProxyError(
    'malformed_web_socket',
    'malformed WebSocket: a message that can’t be decompressed',
    'Send permessage-deflate as RFC 7692 asks.',
  )
const tooBig = () =>
  new ProxyError(
    'message_too_big',
    `a message of over ${MAX_INFLATED >> 20} MiB after decompression`,
    'Send shorter messages, or don’t compress them.',
  )

export class Inflater {
  readonly #takeover: boolean
  readonly #take: (bytes: Buffer) => boolean
  #stream: InflateRaw | undefined
  #size = 0
  /** Bytes given to the stream, and the last of them that was the sender's. */
  #fed = 0
  #last: number | undefined
  #failure: Error | undefined

  /**
   * @param takeover a message may refer to those before it
   * @param take gets what comes out; where it says false nothing more comes until {@link resume}, and what it throws
   *   is what {@link write} throws
   */
  constructor(takeover: boolean, take: (bytes: Buffer) => boolean) {
    this.#takeover = takeover
    this.#take = take
  }

  /**
   * Resolves when all that these bytes give was taken.
   * @throws ProxyError malformed_web_socket, message_too_big
   */
  async write(bytes: Buffer, ends: boolean): Promise<void> {
    this.#last = bytes.at(-1) ?? this.#last
    await this.#feed(bytes)
    if (!ends) return
    await this.#feed(TAIL)
    const stream = this.#stream as InflateRaw
    // A final block ends the stream; after it an octet without bits may stand, and nothing that we don't see.
    const left = this.#fed - stream.bytesWritten
    if (left > TAIL.length + 1 || (left === TAIL.length + 1 && this.#last !== 0)) throw damaged()
    if (left > 0 || !this.#takeover) this.close()
    this.#size = 0
  }

  resume(): void {
    this.#stream?.resume()
  }

  close(): void {
    this.#stream?.close()
    this.#stream = undefined
    this.#fed = 0
  }

  #feed(bytes: Buffer): Promise<void> {
    const stream = this.#stream ?? this.#open()
    this.#stream = stream
    this.#fed += bytes.length
    return new Promise((resolve, reject) => {
      const failed = () => reject(this.#failure ?? damaged())
      stream.once('error', failed)
      stream.write(bytes, (error) => {
        stream.off('error', failed)
        // What waits because the record was full belongs before the next message all the same. It comes as `data`.
        while (stream.read() !== null);
        if (error || this.#failure) failed()
        else resolve()
      })
    })
  }

  #open(): InflateRaw {
    const stream = createInflateRaw()
    stream.on('error', () => {})
    stream.on('data', (bytes: Buffer) => this.#output(bytes))
    return stream
  }

  /** In an event of zlib's, where what is thrown would end the process. */
  #output(bytes: Buffer): void {
    this.#size += bytes.length
    try {
      if (this.#size > MAX_INFLATED) throw tooBig()
      if (!this.#take(bytes)) this.#stream?.pause()
    } catch (error) {
      this.#failure ??= error as Error
      this.#stream?.destroy(this.#failure)
    }
  }
}
