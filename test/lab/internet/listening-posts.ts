/** Ports of the web sites that speak no HTTP: they log whatever reaches them. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { ECHO_PORT, GREETING, GREETING_PORT, type Site } from '../addresses.ts'
import type { WireLogWriter } from './wire-log-writer.ts'

/** Of what a connection sends so much is kept (bytes). */
const KEPT = 64 * 1024

const udpPorts = [443, ECHO_PORT, GREETING_PORT]

export async function listenAround(site: Site, log: WireLogWriter): Promise<void> {
  for (const address of [site.address4, site.address6]) {
    await Promise.all([
      ...[ECHO_PORT, GREETING_PORT].map((port) => listenTcp(site, address, port, log)),
      ...udpPorts.map((port) => listenUdp(site, address, port, log)),
    ])
  }
}

async function listenTcp(site: Site, address: string, port: number, log: WireLogWriter): Promise<void> {
  const server = createServer((socket: Socket) => {
    const connection = log.newConnection()
    log.add(() => ({
      type: 'connection',
      connection,
      at: Date.now(),
      site: site.name,
      port,
      protocol: 'tcp',
      localAddress: address,
      remoteAddress: socket.remoteAddress ?? '',
      remotePort: socket.remotePort ?? 0,
    }))
    const kept: Buffer[] = []
    let length = 0
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      if (length < KEPT) kept.push(chunk)
      length += chunk.length
      if (port === ECHO_PORT) socket.write(chunk)
    })
    socket.on('close', () => {
      const received = Buffer.concat(kept).subarray(0, KEPT).toString('base64')
      log.add(() => ({ type: 'bytes', connection, received }))
    })
    if (port === GREETING_PORT) socket.write(GREETING)
  })
  server.listen({ host: address, port })
  await once(server, 'listening')
}

async function listenUdp(site: Site, address: string, port: number, log: WireLogWriter): Promise<void> {
  const server = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  server.on('message', (message, from) => {
    const connection = log.newConnection()
    log.add(() => ({
      type: 'connection',
      connection,
      at: Date.now(),
      site: site.name,
      port,
      protocol: 'udp',
      localAddress: address,
      remoteAddress: from.address,
      remotePort: from.port,
    }))
    log.add(() => ({ type: 'bytes', connection, received: message.toString('base64') }))
    server.send(message, from.port, from.address)
  })
  server.bind(port, address)
  await once(server, 'listening')
}
