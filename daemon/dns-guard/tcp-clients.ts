/**
 * Clients over TCP (RFC 7766): several questions a connection, each behind its length, answered as answers come.
 *
 * Bounded: connections in all and for each client, questions under way on each, bytes that wait to be read. A full house
 * closes the connection that has been idle longest, so that nobody holds the door by doing nothing.
 */
import type { Socket } from 'node:net'
import { prefixed } from './exchange.ts'
import type { Asker } from './guard.ts'

export interface TcpOptions {
  readonly answer: (bytes: Buffer, client: Asker) => Promise<Buffer | undefined>
  readonly admits: (localAddress: string) => boolean
  readonly idleMs?: number
  readonly limits?: { readonly connections: number; readonly ofClient: number }
}

const IDLE_MS = 10_000
const LIMITS = { connections: 512, ofClient: 256 }
const MAX_UNDER_WAY = 32
/** A client that asks and doesn't read. */
const MAX_UNREAD = 256 << 10
const LENGTH_PREFIX = 2

interface Connection {
  readonly socket: Socket
  readonly client: Asker
  underWay: number
  activeAt: number
}

export class TcpClients {
  readonly #options: TcpOptions
  /** In the order of their last question. */
  readonly #connections = new Set<Connection>()

  constructor(options: TcpOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#connections.size
  }

  accept(socket: Socket): void {
    const { remoteAddress: address, remotePort: port, localAddress = '' } = socket
    socket.on('error', () => {})
    if (address === undefined || port === undefined || !this.#options.admits(localAddress)) {
      socket.destroy()
      return
    }
    const connection: Connection = {
      socket,
      client: { address, port },
      underWay: 0,
      activeAt: performance.now(),
    }
    this.#connections.add(connection)
    socket.on('close', () => this.#connections.delete(connection))
    socket.setTimeout(this.#options.idleMs ?? IDLE_MS, () => {
      if (connection.underWay === 0) socket.destroy()
    })
    this.#makeRoom(address)
    this.#read(connection)
  }

  closeAll(): void {
    for (const { socket } of this.#connections) socket.destroy()
  }

  #makeRoom(address: string): void {
    const { connections, ofClient } = this.#options.limits ?? LIMITS
    const own = [...this.#connections].filter(({ client }) => client.address === address)
    const crowd = own.length > ofClient ? own : this.#connections.size > connections ? this.#connections : []
    let idlest: Connection | undefined
    for (const each of crowd) {
      const better =
        idlest === undefined ||
        each.underWay < idlest.underWay ||
        (each.underWay === idlest.underWay && each.activeAt < idlest.activeAt)
      if (better) idlest = each
    }
    idlest?.socket.destroy()
  }

  #read(connection: Connection): void {
    const { socket } = connection
    let received = Buffer.alloc(0)
    let ended = false
    const done = () => {
      if (ended && connection.underWay === 0) socket.end()
    }
    const take = () => {
      while (connection.underWay < MAX_UNDER_WAY && received.length >= LENGTH_PREFIX) {
        const end = LENGTH_PREFIX + received.readUInt16BE(0)
        if (received.length < end) break
        const message = Buffer.from(received.subarray(LENGTH_PREFIX, end))
        received = received.subarray(end)
        connection.underWay += 1
        connection.activeAt = performance.now()
        this.#options.answer(message, connection.client).then((answer) => {
          connection.underWay -= 1
          // What deserves no answer has no place on a connection either.
          if (answer === undefined || socket.writableLength > MAX_UNREAD) socket.destroy()
          else if (socket.writable) socket.write(prefixed(answer))
          take()
          done()
        })
      }
      if (connection.underWay >= MAX_UNDER_WAY) socket.pause()
      else socket.resume()
    }
    socket.on('data', (chunk) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
      take()
    })
    socket.on('end', () => {
      ended = true
      done()
    })
  }
}
