/**
 * What the provider says on a WebSocket, held until the records of the turns that it belongs to are anchored. Outside of
 * a response it passes (a session is greeted, a message acknowledged): clients wait for that before they go on.
 *
 * The bytes of a turn stand before its gate, which opens when the record has reached the level. Behind the last gate
 * nothing passes while a response is under way, or may be: of an interface that is not known nobody can tell.
 */
import { unanchored } from '../holding/errors.ts'
import { MAX_HELD } from '../holding/holds.ts'
import { Wait } from '../holding/wait.ts'
import type { ProxyError } from '../proxy-error.ts'
import type { LevelListener } from '../recorder-link.ts'
import type { Governed, Shared } from '../relay/facts.ts'

export interface HeldTurnsHost {
  toAgent(bytes: Buffer): void
  /** An answer may not be handed out: the connection is to be cut. */
  withheld(error: ProxyError): void
}

interface Gate {
  readonly wait: Wait
  open: boolean
}

export class HeldTurns {
  /** A response is under way, or may be. */
  speaking: () => boolean = () => false
  readonly #shared: Shared
  readonly #governed: Governed
  readonly #host: HeldTurnsHost
  #queue: (Buffer | Gate)[] = []
  #size = 0
  /** Pieces that came, and those whose messages were looked at. */
  #came = 0
  #seen = 0
  #whenEmpty: (() => void) | undefined
  #over = false

  constructor(shared: Shared, governed: Governed, host: HeldTurnsHost) {
    this.#shared = shared
    this.#governed = governed
    this.#host = host
  }

  get empty(): boolean {
    return this.#queue.length === 0
  }

  /** From the provider. */
  push(bytes: Buffer): void {
    if (this.#over) return
    this.#came += 1
    this.#queue.push(bytes)
    this.#count(bytes.length)
    while (this.#size > MAX_HELD) this.#letFirstGo()
    if (this.#shared.holds.full)
      this.#withhold(unanchored(this.#governed, 'too many answers wait for their anchors already'))
  }

  /** The messages in the next piece were looked at. */
  looked(): void {
    this.#seen += 1
    this.release()
  }

  /** A turn's record is on its way. @returns who waits for it; undefined where nothing of the turn is held */
  gate(id: string): LevelListener | undefined {
    if (this.#over || !(this.#queue.at(-1) instanceof Buffer)) return undefined
    const ended = (error: ProxyError | undefined) => {
      gate.open = true
      if (error) this.#withhold(error)
      else this.release()
    }
    const gate: Gate = { wait: new Wait(this.#shared, this.#governed, id, ended), open: false }
    gate.wait.start()
    this.#queue.push(gate)
    return gate.wait
  }

  /** Lets go what may go by now. */
  release(): void {
    while (!this.#over && this.#queue.length > 0) {
      const first = this.#queue.find((piece): piece is Gate => 'wait' in piece)
      const stays = first ? !first.open : this.#came !== this.#seen || this.speaking()
      if (stays) return
      let piece = this.#queue[0]
      for (; piece instanceof Buffer; piece = this.#queue[0]) this.#letFirstGo()
      if (piece) this.#queue.shift()
    }
    if (!this.#over) this.#whenEmpty?.()
  }

  /** Calls once nothing is held. */
  drained(done: () => void): void {
    this.#whenEmpty = done
    this.release()
  }

  /** The connection is over: what is held goes nowhere. */
  end(): void {
    this.#over = true
    for (const piece of this.#queue) {
      if ('wait' in piece) piece.wait.abandon('the agent is gone')
    }
    this.#queue = []
    this.#count(-this.#size)
  }

  #letFirstGo(): void {
    const at = this.#queue.findIndex((piece) => piece instanceof Buffer)
    const [bytes] = this.#queue.splice(at, 1) as [Buffer]
    this.#count(-bytes.length)
    this.#host.toAgent(bytes)
  }

  #withhold(error: ProxyError): void {
    if (this.#over) return
    this.#host.withheld(error)
  }

  #count(bytes: number): void {
    this.#size += bytes
    if (bytes > 0) this.#shared.holds.take(bytes)
    else if (bytes < 0) this.#shared.holds.free(-bytes)
  }
}
