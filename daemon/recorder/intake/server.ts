/** recorder.sock: proxies connect here. Who may is decided by the mode of the directory it lies in. */
import { chmodSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { messageOf } from '../../base/errors.ts'
import { type Admission, FrameReader, FrameType, frameHeader } from '../protocol.ts'
import { Connection } from './connection.ts'
import type { Intake } from './intake.ts'

/** Replies a proxy may leave unread: 17 bytes each. */
const MAX_UNREAD = 4 << 20
const MAX_CONNECTIONS = 256

export class IntakeServer {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #paused = false
  #admission: Admission = {}

  private constructor(intake: Intake, log: (line: string) => void) {
    this.#server = createServer((socket) => this.#serve(socket, intake, log))
    this.#server.maxConnections = MAX_CONNECTIONS
  }

  static async listen(path: string, intake: Intake, log: (line: string) => void): Promise<IntakeServer> {
    const server = new IntakeServer(intake, log)
    rmSync(path, { force: true })
    await new Promise<void>((resolve, reject) => {
      server.#server.once('error', reject)
      server.#server.listen(path, () => {
        server.#server.off('error', reject)
        resolve()
      })
    })
    server.#server.on('error', (error) => log(`recorder.sock: ${messageOf(error)}`))
    chmodSync(path, 0o666)
    return server
  }

  /** Holds senders back, or lets them go on. */
  pause(paused: boolean): void {
    this.#paused = paused
    for (const socket of this.#sockets) paused ? socket.pause() : socket.resume()
  }

  /** Tells all proxies, also those that come later. */
  admit(admission: Admission): void {
    this.#admission = admission
    for (const socket of this.#sockets) this.#tellAdmission(socket)
  }

  #tellAdmission(socket: Socket): void {
    const payload = Buffer.from(JSON.stringify(this.#admission))
    const header = frameHeader(FrameType.Admission, 0, Date.now(), payload.length)
    if (!socket.destroyed) socket.write(Buffer.concat([header, payload]))
  }

  /** Takes no more connections and ends those there are. */
  async close(): Promise<void> {
    const closed = [new Promise<void>((resolve) => this.#server.close(() => resolve()))]
    for (const socket of this.#sockets) {
      // The server is done before its sockets have said so, and their exchanges end with them.
      closed.push(new Promise((resolve) => socket.once('close', () => resolve())))
      socket.destroy()
    }
    await Promise.all(closed)
  }

  #serve(socket: Socket, intake: Intake, log: (line: string) => void): void {
    const reader = new FrameReader()
    const connection = new Connection(intake, {
      reply(type: FrameType, exchange: number, payload: Buffer) {
        if (socket.writableLength > MAX_UNREAD) {
          log('a proxy does not read its answers: its connection is closed')
          socket.destroy()
        }
        if (socket.destroyed) return
        const header = frameHeader(type, exchange, Date.now(), payload.length)
        socket.write(payload.length === 0 ? header : Buffer.concat([header, payload]))
      },
    })
    this.#sockets.add(socket)
    if (this.#admission.refused !== undefined) this.#tellAdmission(socket)
    if (this.#paused) socket.pause()
    socket.on('data', (bytes) => {
      try {
        for (const frame of reader.push(bytes)) connection.frame(frame)
      } catch (error) {
        log(`a proxy's connection is closed: ${messageOf(error)}`)
        socket.destroy()
      }
    })
    socket.on('error', (error) => log(`a proxy's connection: ${messageOf(error)}`))
    socket.on('close', () => {
      this.#sockets.delete(socket)
      connection.close()
    })
  }
}
