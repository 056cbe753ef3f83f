/** Whether bytes still move on connections that are passed on. */
import type { Socket } from 'node:net'

/** A connection on which nothing moved for so long may be cut: most are open for a next request that never comes. */
const QUIET_MS = 500

/** @returns asked again and again: whether something moved on one of them within the last half second */
export function movement(
  sockets: readonly Pick<Socket, 'bytesRead' | 'bytesWritten' | 'destroyed'>[],
  now: () => number = () => performance.now(),
): () => boolean {
  const began = now()
  const last = new Map(sockets.map((socket) => [socket, { bytes: bytesOf(socket), at: began }]))
  return () => {
    for (const [socket, seen] of last) {
      const bytes = bytesOf(socket)
      if (bytes !== seen.bytes) last.set(socket, { bytes, at: now() })
      else if (socket.destroyed || now() - seen.at >= QUIET_MS) last.delete(socket)
    }
    return last.size > 0
  }
}

const bytesOf = (socket: Pick<Socket, 'bytesRead' | 'bytesWritten'>) => socket.bytesRead + socket.bytesWritten
