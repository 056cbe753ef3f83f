/** One connection to a provider, used by one exchange at a time and kept for the next. */

import type { Socket } from 'node:net'
import type { Endpoint } from '../../recorder/protocol.ts'
import { Pauses } from '../pauses.ts'
import { writeThisTurn } from '../turn.ts'

/** Whoever has the connection at the moment: an exchange, or the pool while it is idle. */
export interface UpstreamUser {
  upstreamData(bytes: Buffer): void
  /** The provider sends no more. */
  upstreamEnded(): void
  /** The connection is gone; `error` where it broke. Comes once, also after `upstreamEnded`. */
  upstreamClosed(error: Error | undefined): void
  upstreamDrained(): void
}

/** Why reading from the provider is paused. */
export const PAUSED_BY = { agent: 1, recorder: 2, start: 4, window: 8, webSocket: 16, holding: 32 } as const

/** What is spoken with a provider, as ALPN names it. */
export type Protocol = 'h2' | 'http/1.1'

export class UpstreamConnection {
  readonly endpoint: Endpoint
  /** The provider asked for a client certificate; the agent's own can't be shown to it, and none was. */
  readonly wantsCertificate: boolean
  readonly protocol: Protocol
  /** True once an exchange has been through it. */
  reused = false
  /** Bytes given to it for the current exchange. */
  sent = 0
  user: UpstreamUser | undefined
  readonly #socket: Socket
  readonly #pauses: Pauses
  #error: Error | undefined

  /** @param socket connected, its TLS verified. Of HTTP/2 nothing is read before its user says so: the provider speaks first. */
  constructor(socket: Socket, endpoint: Endpoint, wantsCertificate = false, protocol: Protocol = 'http/1.1') {
    this.#socket = socket
    this.#pauses = new Pauses(socket)
    this.endpoint = endpoint
    this.wantsCertificate = wantsCertificate
    this.protocol = protocol
    socket.on('data', (bytes: Buffer) => this.user?.upstreamData(bytes))
    socket.on('drain', () => this.user?.upstreamDrained())
    socket.on('end', () => this.user?.upstreamEnded())
    socket.on('error', (error) => {
      this.#error = error
    })
    socket.on('close', () => this.user?.upstreamClosed(this.#error))
    if (protocol === 'h2') this.pause(PAUSED_BY.start)
  }

  get usable(): boolean {
    return this.#socket.writable && !this.#socket.readableEnded && !this.#socket.destroyed
  }

  /** False when the provider takes no more for now: `upstreamDrained` comes. */
  write(bytes: Buffer): boolean {
    this.sent += bytes.length
    return writeThisTurn(this.#socket, bytes)
  }

  /** Half-closes, after what was written. */
  end(): void {
    this.#socket.end()
  }

  pause(reason: number): void {
    this.#pauses.pause(reason)
  }

  resume(reason: number): void {
    this.#pauses.resume(reason)
  }

  /** Ready for another exchange. */
  reset(): void {
    this.reused = true
    this.sent = 0
    this.resume(PAUSED_BY.agent | PAUSED_BY.recorder | PAUSED_BY.holding)
  }

  /** Closes after what was written; the user hears nothing more. */
  close(): void {
    this.user = undefined
    this.#socket.destroySoon()
  }

  /** Closes both ways without a word; the user hears nothing more. */
  destroy(): void {
    this.user = undefined
    this.#socket.destroy()
  }
}
