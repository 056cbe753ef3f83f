/** Ports of the web sites that speak no HTTP: they log whatever reaches them. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { addressesOf, ECHO_PORT, GREETING, GREETING_PORT, type Site } from '../addresses.ts'
import { logBytes, logConnection, logDatagram } from './logged-connection.ts'
import type { WireLogWriter } from './wire-log-writer.ts'

const udpPorts = [443, ECHO_PORT, GREETING_PORT]

export async function listenAround(site: Site, log: WireLogWriter): Promise<void> {
  for (const address of addressesOf(site)) {
    await Promise.all([
      ...[ECHO_PORT, GREETING_PORT].map((port) => listenTcp(site, address, port, log)),
      ...udpPorts.map((port) => listenUdp(site, address, port, log)),
    ])
  }
}

async function listenTcp(site: Site, address: string, port: number, log: WireLogWriter): Promise<void> {
  const server = createServer((socket: Socket) => {
    socket.on('error', () => {})
    logBytes(socket, log, logConnection(socket, log, { site: site.name, port, protocol: 'tcp' }))
    if (port === ECHO_PORT) socket.on('data', (chunk) => socket.write(chunk))
    if (port === GREETING_PORT) socket.write(GREETING)
  })
  server.listen({ host: address, port })
  await once(server, 'listening')
}

async function listenUdp(site: Site, address: string, port: number, log: WireLogWriter): Promise<void> {
  const server = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  server.on('message', (message, from) => {
    logDatagram(message, from, { site: site.name, address, port, log })
    server.send(message, from.port, from.address)
  })
  server.bind(port, address)
  await once(server, 'listening')
}
