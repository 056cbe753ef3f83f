/**
 * Writes to a socket that are put together for a moment. What nobody waits for leaves a millisecond later: waking
 * its reader at once would take a processor from the agent that was just answered, which costs each event of a
 * stream more than the whole relay does. A process that is killed loses that millisecond.
 */
import type { Socket } from 'node:net'

const TOGETHER_MS = 1
/** Bytes with which it leaves without waiting: a fast body must not be held up. */
const FLUSH_AT = 256 * 1024

export class TogetherWriter {
  readonly #socket: Socket
  #timer: NodeJS.Timeout | undefined

  constructor(socket: Socket) {
    this.#socket = socket
  }

  write(bytes: Buffer): void {
    if (this.#timer === undefined) {
      this.#socket.cork()
      this.#timer = setTimeout(() => this.#flush(), TOGETHER_MS)
    }
    this.#socket.write(bytes)
    if (this.#socket.writableLength > FLUSH_AT) this.#flush()
  }

  /** Lets all leave at the end of this turn of the event loop. */
  flushThisTurn(): void {
    setImmediate(() => this.#flush())
  }

  #flush(): void {
    if (this.#timer === undefined) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#socket.uncork()
  }
}
