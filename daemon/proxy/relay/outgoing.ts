/**
 * A request's bytes on their way to the provider: in order, as they came, those before a connection is there kept
 * for it (the agent is paused meanwhile), and the last ones until the request is on disk.
 */
import type { UpstreamConnection } from '../upstream/connection.ts'

/** Longest request that is kept so that it can be sent again. */
const MAX_REPLAY = 64 * 1024

export class Outgoing {
  readonly #repeatable: boolean
  #upstream: UpstreamConnection | undefined
  /** Bytes that wait for a connection. */
  #queue: Buffer[] = []
  /** The last bytes, which wait for {@link release}. */
  #held: Buffer | undefined
  /** A whole request that may be sent again. */
  #replay: Buffer | undefined
  #released = false
  #closing = false

  /** @param repeatable doing it twice is as doing it once */
  constructor(repeatable: boolean) {
    this.#repeatable = repeatable
  }

  get upstream(): UpstreamConnection | undefined {
    return this.#upstream
  }

  /** Nothing waits; true also before anything came. */
  get empty(): boolean {
    return this.#held === undefined && this.#queue.length === 0
  }

  get replayable(): boolean {
    return this.#replay !== undefined
  }

  /** Bytes that may go out at once. @returns false where the agent must wait */
  push(raw: Buffer): boolean {
    if (raw.length === 0) return true
    if (this.#upstream) return this.#upstream.write(raw)
    this.#queue.push(raw)
    return false
  }

  /** The request's last bytes. @param whole they are all of it */
  finish(raw: Buffer, whole: boolean): void {
    this.#held = raw
    if (whole && raw.length <= MAX_REPLAY && this.#repeatable) this.#replay = raw
  }

  /** The last bytes may go out. */
  release(): void {
    this.#released = true
  }

  attach(connection: UpstreamConnection): void {
    this.#upstream = connection
  }

  /** Forgets the connection; what was sent on it goes out again on the next one where it may. */
  detach(): void {
    const sent = this.#upstream !== undefined && this.#upstream.sent > 0
    this.#upstream = undefined
    if (sent) this.#held = this.#replay
  }

  /** Sends what may be sent by now. @returns whether the agent may go on */
  advance(): boolean {
    const upstream = this.#upstream
    if (!upstream) return false
    let room = true
    for (const raw of this.#queue) room = upstream.write(raw)
    if (this.#queue.length > 0) this.#queue = []
    if (this.#held && this.#released) {
      room = upstream.write(this.#held)
      this.#held = undefined
      if (this.#closing) upstream.end()
    }
    return room
  }

  /** The agent sends no more: the provider is told so once it has all of the request. */
  close(): void {
    this.#closing = true
    if (this.#upstream && this.empty) this.#upstream.end()
  }

  /** Drops what waits. @returns the connection, which somebody must see to */
  end(): UpstreamConnection | undefined {
    const upstream = this.#upstream
    this.#upstream = undefined
    this.#queue = []
    this.#held = undefined
    this.#replay = undefined
    return upstream
  }
}
