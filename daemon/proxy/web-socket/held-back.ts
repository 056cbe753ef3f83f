/**
 * What an agent says on a WebSocket, on its way to the provider: a message's last bytes wait until the message is on
 * disk. What arrives while one waits goes together with one sync, so that many small messages (audio) cost no more of
 * them than the disk has to give.
 */
export interface HeldBackSink {
  /** Reads, records. @returns whether a message ends in it, which must be on disk first */
  take(bytes: Buffer): boolean
  /** Asks for the disk's word; {@link HeldBack.release} is to be called. */
  ask(): void
  forward(bytes: Buffer): void
  /** Little, or much, waits. */
  pause(paused: boolean): void
}

/** Bytes waiting above which the agent is not read any more. */
const HIGH_WATER = 256 * 1024

export class HeldBack {
  readonly #sink: HeldBackSink
  /** Taken, and waiting for the disk. */
  #waiting: Buffer | undefined
  /** Not looked at yet. */
  #behind: Buffer[] = []
  #behindSize = 0
  #paused = false
  #whenEmpty: (() => void) | undefined

  constructor(sink: HeldBackSink) {
    this.#sink = sink
  }

  get waits(): boolean {
    return this.#waiting !== undefined
  }

  push(bytes: Buffer): void {
    if (this.#waiting === undefined) {
      this.#take(bytes)
      return
    }
    this.#behind.push(bytes)
    this.#behindSize += bytes.length
    if (this.#behindSize > HIGH_WATER && !this.#paused) this.#pause(true)
  }

  /** What waits is on disk. */
  release(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    this.#waiting = undefined
    this.#sink.forward(waiting)
    if (this.#behindSize > 0) {
      const behind = this.#behind.length === 1 ? (this.#behind[0] as Buffer) : Buffer.concat(this.#behind)
      this.#behind = []
      this.#behindSize = 0
      this.#take(behind)
    }
    if (this.#paused && this.#behindSize <= HIGH_WATER) this.#pause(false)
    if (this.#waiting === undefined) this.#whenEmpty?.()
  }

  /** Calls once nothing waits. */
  whenEmpty(done: () => void): void {
    if (this.#waiting === undefined) done()
    else this.#whenEmpty = done
  }

  #take(bytes: Buffer): void {
    if (!this.#sink.take(bytes)) {
      this.#sink.forward(bytes)
      return
    }
    this.#waiting = bytes
    this.#sink.ask()
  }

  #pause(paused: boolean): void {
    this.#paused = paused
    this.#sink.pause(paused)
  }
}
