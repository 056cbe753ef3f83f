/**
 * status.sock: whoever connects gets one JSON document and the connection's end. Open to every local user,
 * so it reads nothing, says nothing secret, and a client that dawdles is dropped.
 */
import { createServer } from 'node:net'
import { type LocalServer, listenAt } from './local-server.ts'

const MAX_CONNECTIONS = 32
const WRITE_TIMEOUT_MS = 2000

/**
 * @param document made anew for each client; `schemaVersion` is added.
 * @throws the system's error where the socket can't be made.
 */
export async function startStatusServer(
  path: string,
  document: () => Readonly<Record<string, unknown>>,
): Promise<LocalServer> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.pause()
    const timer = setTimeout(() => socket.destroy(), WRITE_TIMEOUT_MS)
    socket.on('close', () => clearTimeout(timer))
    socket.end(`${JSON.stringify({ schemaVersion: 1, ...document() })}\n`, () => socket.destroy())
  })
  server.maxConnections = MAX_CONNECTIONS
  return listenAt(server, path, 0o666)
}
