/**
 * One write per socket and event-loop turn: pieces written in one turn leave as one writev (and one TLS record
 * where they fit), instead of a system call each.
 */
import type { Socket } from 'node:net'

let corked: Socket[] = []
let scheduled = false

/** As `socket.write`, put together with what else is written to it in this turn. */
export function writeThisTurn(socket: Socket, bytes: Buffer): boolean {
  if (socket.writableCorked === 0) {
    socket.cork()
    corked.push(socket)
    if (!scheduled) {
      scheduled = true
      setImmediate(flush)
    }
  }
  return socket.write(bytes)
}

function flush(): void {
  const sockets = corked
  corked = []
  scheduled = false
  for (const socket of sockets) socket.uncork()
}
