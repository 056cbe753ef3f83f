/** Reading from a socket, stopped for several reasons at once: it goes on when the last of them is gone. */
import type { Socket } from 'node:net'

export class Pauses {
  readonly #socket: Socket
  #reasons = 0

  constructor(socket: Socket) {
    this.#socket = socket
  }

  /** Bits, one a reason. */
  get reasons(): number {
    return this.#reasons
  }

  pause(reason: number): void {
    if (this.#reasons === 0) this.#socket.pause()
    this.#reasons |= reason
  }

  resume(reason: number): void {
    if ((this.#reasons & reason) === 0) return
    this.#reasons &= ~reason
    if (this.#reasons === 0) this.#socket.resume()
  }

  /** Reads on, whatever the reasons were. */
  forget(): void {
    this.#reasons = 0
    this.#socket.resume()
  }
}
