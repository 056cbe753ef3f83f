/**
 * status.sock: whoever connects gets one JSON document and the connection's end. Open to every local user,
 * so it reads nothing, says nothing secret, and a client that dawdles is dropped.
 */
import { chmodSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'

export interface StatusServer {
  close(): Promise<void>
}

const MAX_CONNECTIONS = 32
const WRITE_TIMEOUT_MS = 2000

/**
 * @param document made anew for each client; `schemaVersion` is added.
 * @throws the system's error where the socket can't be made.
 */
export async function startStatusServer(
  path: string,
  document: () => Readonly<Record<string, unknown>>,
): Promise<StatusServer> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.pause()
    const timer = setTimeout(() => socket.destroy(), WRITE_TIMEOUT_MS)
    socket.on('close', () => clearTimeout(timer))
    socket.end(`${JSON.stringify({ schemaVersion: 1, ...document() })}\n`, () => socket.destroy())
  })
  server.maxConnections = MAX_CONNECTIONS
  rmSync(path, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      resolve()
    })
  })
  // Without a listener an accept that fails would end the process.
  server.on('error', () => {})
  chmodSync(path, 0o666)
  return { close: () => new Promise((resolve) => server.close(() => resolve())) }
}
