/** A stand-in for the proxy: greets with what it knows of the connection, then echoes. */
import { createServer, type Server, type Socket } from 'node:net'
import { flowOwner } from '../../../firewall/flow-owner.ts'
import { openListener } from '../../../firewall/listening-socket.ts'
import { originalDestination, socketDescriptor } from '../../../firewall/original-destination.ts'
import { originalSource } from '../../../firewall/original-source.ts'
import { PROXY_PORT } from './places.ts'

export interface Seen {
  readonly family: 4 | 6
  readonly client: { address: string; port: number }
  readonly destination: { address: string; port: number }
}

export interface StandIn {
  /** Every connection accepted so far. */
  readonly seen: Seen[]
  close(): Promise<void>
}

export async function startProxy(): Promise<StandIn> {
  const seen: Seen[] = []
  const sockets = new Set<Socket>()
  const servers: Server[] = []
  for (const family of [4, 6] as const) {
    const fd = openListener({ address: family === 4 ? '0.0.0.0' : '::', port: PROXY_PORT })
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.on('error', () => {}).on('close', () => sockets.delete(socket))
      greet(socket, family, seen)
    })
    await new Promise<void>((listening) => server.listen({ fd }, listening))
    servers.push(server)
  }
  return {
    seen,
    async close() {
      for (const socket of sockets) socket.destroy()
      await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))))
    },
  }
}

function greet(socket: Socket, family: 4 | 6, seen: Seen[]): void {
  const fd = socketDescriptor(socket)
  const destination = fd === undefined ? undefined : originalDestination(fd, family)
  const client = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 }
  if (!destination) return void socket.end('proxy: no original destination\n')
  seen.push({ family, client, destination })
  const local = { address: socket.localAddress ?? '', port: socket.localPort ?? 0 }
  // Of hundreds of connections some come from a port that another one had a minute ago: then this one is translated.
  const source = originalSource({ local, peer: client }) ?? client
  const owner = flowOwner({ family, client: source, destination })
  socket.write(`proxy: to ${destination.address} port ${destination.port} by ${owner?.uid ?? 'unknown'}\n`)
  socket.pipe(socket)
}
