/**
 * Puts our end of TLS on an agent's connection that the policy governs, and HTTP on that.
 *
 * A handshake that fails is evidence too: a client that pins its provider's certificate, or doesn't know our CA,
 * shows here and nowhere else.
 */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { RuleId } from '../../../policies/rule-ids.ts'
import { messageOf } from '../../base/errors.ts'
import { now } from '../clock.ts'
import type { Leaves } from '../leaves.ts'
import { refuse } from '../refuse.ts'
import type { Sniffed } from '../sniff/sniff.ts'
import { distrust, LEFT_AT_ONCE } from '../untouched/distrust.ts'
import { isUninterceptable, passUntouched } from '../untouched/untouched.ts'
import { AgentConnection } from './agent-connection.ts'
import { type Governed, recordRefusal, type Shared } from './facts.ts'

const HANDSHAKE_MS = 15_000
const ALPN = 'http/1.1'
/** A connection that was opened ahead stays for a while. */
const AT_ONCE_MS = 1000
const UNFINISHED = 'the agent did not finish the TLS handshake'

type Closed = (connection?: AgentConnection) => void

/**
 * @param socket paused, all received bytes put back on it
 * @param sniffed what they are
 * @returns the connection, or undefined where it was closed instead
 */
export async function intercept(
  shared: Shared,
  leaves: Leaves,
  socket: Socket,
  governed: Governed,
  sniffed: Sniffed,
  closed: Closed,
): Promise<AgentConnection | undefined> {
  const gone = () => closed()
  socket.once('close', gone)
  const reason = await whyNot(shared, governed, sniffed)
  if (reason !== undefined) {
    recordRefusal(shared, governed, reason.rule, reason.text)
    refuse(socket, reason.text, sniffed)
    return undefined
  }
  try {
    if (await isUninterceptable(shared, governed)) {
      await passUntouched(shared, socket, governed)
      return undefined
    }
    const secureContext = governed.tls ? await leaves.contextFor(governed.name) : undefined
    if (socket.destroyed || (secureContext && socket.readableEnded)) {
      socket.destroy()
      return undefined
    }
    socket.off('close', gone)
    if (!secureContext) return plain(shared, socket, governed, closed)
    const tls = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: [ALPN] })
    watchHandshake(tls, {
      failed(failure, isSaid) {
        const why = distrust({ error: isSaid ? failure : undefined, shown: socket.bytesWritten > 0 })
        if (why === undefined) recordRefusal(shared, governed, governed.rule, `${UNFINISHED}: ${failure}`)
        else distrusted(shared, governed, `${UNFINISHED}: ${why}`)
      },
      left: () => distrusted(shared, governed, LEFT_AT_ONCE),
    })
    return new AgentConnection(shared, tls, governed, closed)
  } catch (error) {
    recordRefusal(shared, governed, governed.rule, messageOf(error))
    socket.destroy()
    return undefined
  }
}

/** Why the connection can't or may not be intercepted. */
async function whyNot(
  shared: Shared,
  governed: Governed,
  { alpn }: Sniffed,
): Promise<{ readonly rule: string; readonly text: string } | undefined> {
  if (governed.tls && alpn.length > 0 && !alpn.includes(ALPN)) {
    return { rule: governed.rule, text: `the agent speaks only ${alpn.join(', ')} here, and not ${ALPN}` }
  }
  const { name: policy, proxy } = shared.policy
  if (proxy.foreignAddress !== 'refuse' || governed.direct) return undefined
  const { name, originalDestination } = governed
  // A name that can't be resolved is the first exchange's to report.
  const route = await shared.directory.route(name, originalDestination.address).catch(() => undefined)
  if (!route?.mismatch) return undefined
  const rule = `${policy}/${'foreign-address' satisfies RuleId}`
  return { rule, text: `${name} was dialled at ${originalDestination.address}, which is not its address` }
}

function plain(shared: Shared, socket: Socket, governed: Governed, closed: Closed): AgentConnection {
  const connection = new AgentConnection(shared, socket, governed, closed)
  socket.resume()
  return connection
}

function distrusted(shared: Shared, governed: Governed, reason: string): void {
  recordRefusal(shared, governed, `${shared.policy.name}/${'client-refused' satisfies RuleId}`, reason)
  void shared.refusers.add(governed, now())
}

interface HandshakeEvents {
  /** @param isSaid it isn't only that the connection ended */
  failed(reason: string, isSaid: boolean): void
  /** It finished, and the client went at once without having sent anything. */
  left(): void
}

function watchHandshake(tls: TLSSocket, { failed, left }: HandshakeEvents): void {
  let done = false
  const over = (reason?: string, isSaid = true) => {
    if (done) return
    done = true
    clearTimeout(timer)
    if (reason !== undefined) failed(reason, isSaid)
  }
  const timer = setTimeout(() => {
    over('it took too long')
    tls.destroy()
  }, HANDSHAKE_MS)
  tls.once('secure', () => {
    over()
    const finished = performance.now()
    let spoke = false
    tls.once('data', () => {
      spoke = true
    })
    const gone = () => {
      if (!spoke && performance.now() - finished < AT_ONCE_MS) left()
      spoke = true
    }
    // Its end or its reset, not ours.
    tls.once('end', gone)
    tls.once('error', gone)
  })
  tls.once('error', (error: NodeJS.ErrnoException) => over(messageOf(error), !isCut(error)))
  tls.once('close', () => over('it closed the connection', false))
}

/** A connection that was cut says no more than one that was closed. */
const isCut = ({ code }: NodeJS.ErrnoException) => code === 'ECONNRESET' || code === 'EPIPE'
