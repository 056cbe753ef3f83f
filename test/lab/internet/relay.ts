/**
 * A proxy on the internet that serves everybody: CONNECT in the clear and inside TLS, SOCKS4, SOCKS4a and SOCKS5.
 * What asks it is logged, and so is each connection that it makes, at the site that it reaches.
 */
import { once } from 'node:events'
import { connect, createServer, isIP, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { RELAY, RELAY_PORTS } from '../addresses.ts'
import { ByteReader } from './byte-reader.ts'
import type { Credentials } from './certificates.ts'
import { parseHead } from './http-request.ts'
import { logBytes, logConnection } from './logged-connection.ts'
import type { WireLogWriter } from './wire-log-writer.ts'

interface Target {
  readonly host: string
  readonly port: number
}

/** Reads what a client asks for and answers it; undefined where it is no such client. */
type Handshake = (reader: ByteReader, socket: Socket) => Promise<Target | undefined>

const HEAD_LIMIT = 8192

export async function startRelay(credentials: Credentials, log: WireLogWriter): Promise<void> {
  for (const address of [RELAY.address4, RELAY.address6]) {
    const serve = (handshake: Handshake, port: number) => (socket: Socket) => {
      socket.on('error', () => {})
      logBytes(socket, log, logConnection(socket, log, { site: RELAY.name, port, protocol: 'tcp' }))
      void pass(socket, handshake, address.includes(':') ? 6 : 4)
    }
    const servers = [
      [createServer(serve(httpConnect, RELAY_PORTS.connect)), RELAY_PORTS.connect],
      [createServer(serve(socks, RELAY_PORTS.socks)), RELAY_PORTS.socks],
      [createTlsServer(credentials, serve(httpConnect, RELAY_PORTS.tls)), RELAY_PORTS.tls],
    ] as const
    for (const [server, port] of servers) {
      server.listen({ host: address, port })
      await once(server, 'listening')
    }
  }
}

async function pass(client: Socket, handshake: Handshake, family: 4 | 6): Promise<void> {
  const reader = new ByteReader(client)
  try {
    const target = await handshake(reader, client)
    if (target === undefined) return void client.destroy()
    const known = isIP(target.host)
    const server = connect({
      ...target,
      family: known === 0 ? family : known,
      // Shows in the wire log of whatever is reached.
      localAddress: (known === 0 ? family : known) === 4 ? RELAY.address4 : RELAY.address6,
    })
    server.on('error', () => client.destroy())
    client.on('close', () => server.destroy())
    server.on('close', () => client.destroy())
    server.pipe(client)
    for await (const chunk of reader.rest()) server.write(chunk)
    server.end()
  } catch {
    client.destroy()
  }
}

/** RFC 9110 section 9.3.6. */
async function httpConnect(reader: ByteReader, socket: Socket): Promise<Target | undefined> {
  const raw = await reader.through('\r\n\r\n', HEAD_LIMIT)
  if (raw === undefined) return undefined
  const { method, target } = parseHead(raw)
  const parts = /^\[?([^\]]+?)\]?:(\d+)$/.exec(target)
  if (method !== 'CONNECT' || parts === null) return undefined
  socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
  return { host: parts[1]!, port: Number(parts[2]) }
}

/** SOCKS5 without authentication (RFC 1928), SOCKS4 and 4a. */
async function socks(reader: ByteReader, socket: Socket): Promise<Target | undefined> {
  const version = (await reader.exactly(1))[0]
  if (version === 4) {
    const [, high = 0, low = 0, ...address] = await reader.exactly(7)
    await reader.through('\0', HEAD_LIMIT)
    // 0.0.0.x: the name follows (SOCKS4a).
    const named = address.slice(0, 3).every((byte) => byte === 0)
    const name = named ? (await reader.through('\0', HEAD_LIMIT))?.toString('latin1').slice(0, -1) : undefined
    socket.write(Buffer.from([0, 90, 0, 0, 0, 0, 0, 0]))
    return { host: name ?? address.join('.'), port: (high << 8) | low }
  }
  if (version !== 5) return undefined
  await reader.exactly((await reader.exactly(1))[0]!)
  socket.write(Buffer.from([5, 0]))
  const kind = (await reader.exactly(4))[3]
  const host = await socksAddress(reader, kind)
  const port = (await reader.exactly(2)).readUInt16BE()
  socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]))
  return host === undefined ? undefined : { host, port }
}

async function socksAddress(reader: ByteReader, kind: number | undefined): Promise<string | undefined> {
  if (kind === 1) return (await reader.exactly(4)).join('.')
  if (kind === 3) return (await reader.exactly((await reader.exactly(1))[0]!)).toString('latin1')
  if (kind !== 4) return undefined
  const bytes = await reader.exactly(16)
  return Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(2 * at).toString(16)).join(':')
}
