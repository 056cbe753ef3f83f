/** An agent's socket, on which frames go both ways until one side has enough. */

import type { Socket } from 'node:net'
import { Pauses } from '../pauses.ts'
import { writeThisTurn } from '../turn.ts'

export interface AgentUser {
  agentData(bytes: Buffer): void
  agentDrained(): void
  /** It sends no more. */
  agentEnded(): void
  /** The connection is gone. */
  agentClosed(): void
}

/** Why reading is paused. */
export const PAUSED = { start: 1, provider: 2, recorder: 4, backlog: 8 } as const
/** Bytes that may wait for an agent before nothing more is read from it: answers of the gateway's own. */
const MAX_BACKLOG = 256 * 1024

export class AgentPipe {
  readonly #socket: Socket
  readonly #pauses: Pauses
  #over = false

  constructor(socket: Socket, user: AgentUser) {
    this.#socket = socket
    this.#pauses = new Pauses(socket)
    socket.on('data', (bytes: Buffer) => {
      if (!this.#over) user.agentData(bytes)
    })
    socket.on('drain', () => {
      this.resume(PAUSED.backlog)
      if (!this.#over) user.agentDrained()
    })
    socket.on('end', () => {
      if (!this.#over) user.agentEnded()
      socket.destroySoon()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#over = true
      user.agentClosed()
    })
  }

  /** Nothing is sent or taken any more. */
  get over(): boolean {
    return this.#over
  }

  get busy(): boolean {
    return !this.#over || this.#socket.writableLength > 0
  }

  /** It takes no more for now. */
  get full(): boolean {
    return this.#socket.writableNeedDrain
  }

  /** @returns false when it takes no more for now */
  write(bytes: Buffer): boolean {
    if (this.#over) return true
    const room = writeThisTurn(this.#socket, bytes)
    if (!room && this.#socket.writableLength > MAX_BACKLOG) this.pause(PAUSED.backlog)
    return room
  }

  pause(reason: number): void {
    this.#pauses.pause(reason)
  }

  resume(reason: number): void {
    this.#pauses.resume(reason)
  }

  /** What its bytes wait for, where they are not read. */
  get waitsFor(): 'provider' | 'recorder' | undefined {
    const { reasons } = this.#pauses
    if (reasons & PAUSED.recorder) return 'recorder'
    return reasons & PAUSED.provider ? 'provider' : undefined
  }

  /**
   * Sends the end after what was written, reads on without looking until the agent closes.
   * @param sent the agent's system has all of it
   */
  close(sent: () => void): void {
    this.#over = true
    this.#socket.end(sent)
    this.#pauses.forget()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}
