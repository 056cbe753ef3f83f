/** The servers of the far side: each greets with who seems to call, then echoes. */
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'

export const DUMP_PORT = 7777

export function runFarSide(ports: readonly number[], addresses: readonly string[]): void {
  const servers = ports.map((port) =>
    createServer((socket) => {
      socket.on('error', () => {})
      socket.write(`far side saw ${socket.remoteAddress?.replace('::ffff:', '')}\n`)
      socket.pipe(socket)
    }).listen(port, '::'),
  )
  // Reads late, so that the sender is gone while most of its data is still to be sent.
  servers.push(
    createServer({ pauseOnConnect: true }, (socket) => {
      let size = 0
      let ending = 'end'
      socket.on('data', (data) => {
        size += data.length
      })
      socket.on('error', (error: NodeJS.ErrnoException) => {
        ending = `error ${error.code}`
      })
      socket.on('close', () => process.send?.({ dumped: size, ending }))
      setTimeout(() => socket.resume(), 400)
    }).listen(DUMP_PORT, '::'),
  )
  for (const address of addresses) {
    for (const port of [443, 123, 53]) {
      const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
      socket.on('message', (_, peer) => socket.send(`far side saw ${peer.address}`, peer.port, peer.address))
      socket.bind(port, address)
    }
  }
  Promise.all(servers.map((server) => new Promise((listening) => server.once('listening', listening)))).then(
    () => process.send?.('ready'),
  )
  process.on('disconnect', () => process.exit(0))
}
