/** A stand-in for the DNS guard: answers everybody with its name, from the address that was asked. */
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { BRIDGE, DNS_PORT, LOOPBACK } from './places.ts'

export async function startGuard(): Promise<{ close(): Promise<void> }> {
  const sockets = await Promise.all(
    [...Object.values(LOOPBACK), ...Object.values(BRIDGE)].map(async (address) => {
      const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
      socket.on('message', (_, peer) => socket.send('guard', peer.port, peer.address))
      await new Promise<void>((bound) => socket.bind(DNS_PORT, address, bound))
      return socket
    }),
  )
  const server = createServer((socket) => void socket.on('error', () => {}).end('guard'))
  await new Promise<void>((listening) => server.listen(DNS_PORT, '::', listening))
  return {
    async close() {
      for (const socket of sockets) socket.close()
      await new Promise((closed) => server.close(closed))
    },
  }
}
