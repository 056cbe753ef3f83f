/** Who is at the other end of a Unix socket, by the kernel's word: SO_PEERCRED (unix(7)), as it was on connect. */
import type { Socket } from 'node:net'
import { callFailed, int, libc, SOL_SOCKET } from '../../firewall/libc.ts'
import { socketDescriptor } from '../../firewall/original-destination.ts'

const SO_PEERCRED = 17
/** struct ucred: pid, uid, gid. */
const UCRED_SIZE = 12

/** @throws FirewallError `system-call` where the connection is gone */
export function peerOf(socket: Socket): { readonly pid: number; readonly uid: number } {
  const ucred = Buffer.alloc(UCRED_SIZE)
  const fd = socketDescriptor(socket) ?? -1
  const result = libc.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ucred, int(UCRED_SIZE))
  if (result !== 0) throw callFailed('getsockopt SO_PEERCRED', result, 'ask again')
  // Numbers of the machine's own order; Linux is little-endian wherever Node runs.
  return { pid: ucred.readInt32LE(0), uid: ucred.readUInt32LE(4) }
}
