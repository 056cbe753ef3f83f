import type { RemoteInfo } from 'node:dgram'
import type { Socket } from 'node:net'
import type { Protocol } from '../wire-log.ts'
import type { WireLogWriter } from './wire-log-writer.ts'

/** Of what a connection sends so much is kept (bytes). */
const KEPT = 64 * 1024

/** Enters an accepted connection into the wire log, and what it sent once it is over. Gives its number. */
export function logConnection(
  socket: Socket,
  log: WireLogWriter,
  where: { readonly site: string; readonly port: number; readonly protocol: Protocol },
): number {
  const connection = log.newConnection()
  log.add(() => ({
    type: 'connection',
    connection,
    at: Date.now(),
    ...where,
    localAddress: socket.localAddress ?? '',
    remoteAddress: socket.remoteAddress ?? '',
    remotePort: socket.remotePort ?? 0,
  }))
  return connection
}

/** The same for one whose bytes are wanted too. */
export function logBytes(socket: Socket, log: WireLogWriter, connection: number): void {
  const kept: Buffer[] = []
  let length = 0
  socket.on('data', (chunk: Buffer) => {
    if (length < KEPT) kept.push(chunk)
    length += chunk.length
  })
  socket.on('close', () => {
    const received = Buffer.concat(kept).subarray(0, KEPT).toString('base64')
    log.add(() => ({ type: 'bytes', connection, received }))
  })
}

/** One datagram with its sender; a datagram's own connection in the wire log. */
export function logDatagram(
  message: Buffer,
  from: RemoteInfo,
  where: {
    readonly site: string
    readonly address: string
    readonly port: number
    readonly log: WireLogWriter
  },
): void {
  const { site, address, port, log } = where
  const connection = log.newConnection()
  log.add(() => ({
    type: 'connection',
    connection,
    at: Date.now(),
    site,
    port,
    protocol: 'udp',
    localAddress: address,
    remoteAddress: from.address,
    remotePort: from.port,
  }))
  log.add(() => ({ type: 'bytes', connection, received: message.toString('base64') }))
}
