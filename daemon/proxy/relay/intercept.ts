/**
 * Puts our end of TLS on an agent's connection that the policy governs, and HTTP on that.
 *
 * A handshake that fails is evidence too: a client that pins its provider's certificate, or doesn't know our CA,
 * shows here and nowhere else.
 */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { messageOf } from '../../base/errors.ts'
import type { Leaves } from '../leaves.ts'
import { AgentConnection } from './agent-connection.ts'
import { type Governed, recordRefusal, type Shared } from './facts.ts'

const HANDSHAKE_MS = 15_000
const ALPN = 'http/1.1'

/**
 * @param socket paused, all received bytes put back on it
 * @param alpn what the agent offers; empty if nothing
 * @returns the connection, or undefined where it was closed instead
 */
export async function intercept(
  shared: Shared,
  leaves: Leaves,
  socket: Socket,
  governed: Governed,
  alpn: readonly string[],
  closed: (connection?: AgentConnection) => void,
): Promise<AgentConnection | undefined> {
  if (!governed.tls) return plain(shared, socket, governed, closed)
  const refuse = (reason: string) => {
    recordRefusal(shared, governed, governed.rule, reason)
    socket.destroy()
  }
  const gone = () => closed()
  socket.once('close', gone)
  if (alpn.length > 0 && !alpn.includes(ALPN)) {
    refuse(`the agent speaks only ${alpn.join(', ')} here, and not ${ALPN}`)
    return undefined
  }
  try {
    const secureContext = await leaves.contextFor(governed.name)
    if (socket.destroyed || socket.readableEnded) {
      socket.destroy()
      return undefined
    }
    socket.off('close', gone)
    const tls = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: [ALPN] })
    watchHandshake(tls, (reason) => recordRefusal(shared, governed, governed.rule, reason))
    return new AgentConnection(shared, tls, governed, closed)
  } catch (error) {
    refuse(messageOf(error))
    return undefined
  }
}

function plain(
  shared: Shared,
  socket: Socket,
  governed: Governed,
  closed: (connection?: AgentConnection) => void,
): AgentConnection {
  const connection = new AgentConnection(shared, socket, governed, closed)
  socket.resume()
  return connection
}

function watchHandshake(tls: TLSSocket, failed: (reason: string) => void): void {
  let done = false
  const over = (reason?: string) => {
    if (done) return
    done = true
    clearTimeout(timer)
    if (reason !== undefined) failed(`the agent did not finish the TLS handshake: ${reason}`)
  }
  const timer = setTimeout(() => {
    over('it took too long')
    tls.destroy()
  }, HANDSHAKE_MS)
  tls.once('secure', () => over())
  tls.once('error', (error) => over(messageOf(error)))
  tls.once('close', () => over('it closed the connection'))
}
