/** Ends a refused connection in the way that its client understands best. */
import type { Socket } from 'node:net'
import { gatewayAnswer } from './http/answer.ts'
import type { Sniffed } from './sniff/sniff.ts'

/** For the agent to take the answer: closing at once with bytes unread would reset it away. */
const LINGER_MS = 2000

/** @param socket paused, nobody else's  @param reason for people; no header values */
export function refuse(socket: Socket, reason: string, sniffed: Sniffed | undefined): void {
  if (sniffed?.request === undefined || !socket.writable) {
    socket.resetAndDestroy()
    return
  }
  const message = `refused by this machine's policy: ${reason}. See \`agent-anchor records --kind refusal\`.`
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  socket.once('close', () => clearTimeout(timer))
  socket.once('end', () => socket.destroySoon())
  socket.end(gatewayAnswer('refused_by_policy', message, sniffed.request.method))
  if (socket.readableEnded) socket.destroySoon()
  else socket.resume()
}
