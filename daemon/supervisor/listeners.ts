/**
 * The proxy's listening sockets, bound once and kept: nobody can squat the port while a worker restarts, and no
 * connection is refused meanwhile. Wildcard addresses, since redirected containers arrive on their bridge's
 * address; the fence resets whoever dials the port directly.
 */
import { closeListener, openListener } from '../../firewall/listening-socket.ts'
import type { Listener } from './proxy-workers.ts'

export function openListeners(port: number): { sockets: Listener[]; close(): void } {
  const sockets: Listener[] = []
  const close = () => {
    for (const { fd } of sockets.splice(0)) closeListener(fd)
  }
  try {
    sockets.push({ family: 4, fd: openListener({ address: '0.0.0.0', port }) })
    sockets.push({ family: 6, fd: openListener({ address: '::', port }) })
  } catch (error) {
    close()
    throw error
  }
  return { sockets, close }
}
