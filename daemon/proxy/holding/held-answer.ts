/**
 * An answer over HTTP/1.1 that is held from its first byte until its record has reached the level. Of one that is longer
 * than may be held the end is held, and what is before goes out as more comes.
 */
import type { ProxyError } from '../proxy-error.ts'
import type { LevelListener } from '../recorder-link.ts'
import type { Governed, Shared } from '../relay/facts.ts'
import { MAX_HELD, type RoomListener } from './holds.ts'
import { Wait } from './wait.ts'

/** What a held answer needs of its exchange. */
export interface HeldAnswerHost {
  /** To the agent. */
  write(bytes: Buffer): void
  /** The provider is not read, or is again. */
  pauseProvider(paused: boolean): void
  /** All of it is written. */
  handedOut(): void
  /** None of it may be handed out any more. */
  withheld(error: ProxyError): void
}

export class HeldAnswer implements RoomListener {
  readonly #shared: Shared
  readonly #host: HeldAnswerHost
  readonly #wait: Wait
  #held: Buffer[] = []
  #size = 0
  /** Let go: what still comes goes out at once. */
  #open = false
  #paused = false
  #whole = false

  /** @param id of the record */
  constructor(shared: Shared, governed: Governed, id: string, host: HeldAnswerHost) {
    this.#shared = shared
    this.#host = host
    this.#wait = new Wait(shared, governed, id, (error) => this.#over(error))
  }

  /** To be told of the level. */
  get listener(): LevelListener {
    return this.#wait
  }

  push(bytes: Buffer): void {
    if (bytes.length === 0) return
    if (this.#open) {
      this.#host.write(bytes)
      return
    }
    this.#held.push(bytes)
    this.#count(bytes.length)
    while (this.#size > MAX_HELD) this.#letFirstGo()
    if (this.#shared.holds.full && !this.#paused) this.#pause()
  }

  /** It came to its end: its record is on its way. */
  whole(): void {
    this.#whole = true
    this.#wait.start()
    if (this.#open) this.#host.handedOut()
  }

  /** No record is kept of it: nothing to wait for. */
  letGo(): void {
    this.#wait.cancel()
    this.#over(undefined)
  }

  /** The agent is gone. */
  abandon(): void {
    if (this.#whole) this.#wait.abandon('the agent is gone')
    this.drop()
  }

  /** Something else is told instead of it. */
  drop(): void {
    this.#wait.cancel()
    this.#shared.holds.leave(this)
    this.#held = []
    this.#count(-this.#size)
  }

  roomAgain(): void {
    this.#paused = false
    this.#host.pauseProvider(false)
  }

  #letFirstGo(): void {
    const first = this.#held.shift() as Buffer
    this.#count(-first.length)
    this.#host.write(first)
  }

  /** Nothing more is read; should no room come in time, that is its end. */
  #pause(): void {
    this.#paused = true
    this.#host.pauseProvider(true)
    this.#shared.holds.whenRoom(this)
    this.#wait.start()
  }

  #over(error: ProxyError | undefined): void {
    if (error) {
      this.drop()
      this.#host.withheld(error)
      return
    }
    this.#open = true
    while (this.#held.length > 0) this.#letFirstGo()
    if (this.#paused) {
      this.#shared.holds.leave(this)
      this.roomAgain()
    }
    if (this.#whole) this.#host.handedOut()
  }

  #count(bytes: number): void {
    this.#size += bytes
    if (bytes > 0) this.#shared.holds.take(bytes)
    else if (bytes < 0) this.#shared.holds.free(-bytes)
  }
}
