/** A server on a Unix socket of this machine, in the place of whatever stood there. */
import { chmodSync, rmSync } from 'node:fs'
import type { Server } from 'node:net'

export interface LocalServer {
  close(): Promise<void>
}

/**
 * @param mode of the socket: who may connect
 * @throws the system's error where the socket can't be made
 */
export async function listenAt(server: Server, path: string, mode: number): Promise<LocalServer> {
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
  chmodSync(path, mode)
  return { close: () => new Promise((resolve) => server.close(() => resolve())) }
}
