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
import { H2Pair } from '../h2/pair.ts'
import type { Leaves } from '../leaves.ts'
import { refuse } from '../refuse.ts'
import type { Sniffed } from '../sniff/sniff.ts'
import { distrust, LEFT_AT_ONCE } from '../untouched/distrust.ts'
import { isUninterceptable, passUntouched } from '../untouched/untouched.ts'
import { AgentConnection } from './agent-connection.ts'
import type { Intercepted } from './agent-side.ts'
import { type Governed, recordRefusal, type Shared } from './facts.ts'
import { watchHandshake } from './handshake.ts'
import { type Choice, choose } from './protocol.ts'

const UNFINISHED = 'the agent did not finish the TLS handshake'

type Closed = (connection?: Intercepted) => void

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
): Promise<Intercepted | undefined> {
  const gone = () => closed()
  socket.once('close', gone)
  const foreign = await whyNot(shared, governed)
  if (!foreign && (await isUninterceptable(shared, governed))) {
    await passUntouched(shared, socket, governed)
    return undefined
  }
  const choice: Choice = foreign ?? (await choose(shared, governed, sniffed.alpn))
  if (choice.protocol === 'none') {
    recordRefusal(shared, governed, foreign?.rule ?? governed.rule, choice.reason)
    refuse(socket, choice.reason, sniffed)
    return undefined
  }
  try {
    const secureContext = governed.tls ? await leaves.contextFor(governed.name) : undefined
    if (socket.destroyed || (secureContext && socket.readableEnded)) {
      socket.destroy()
      await forget(choice)
      return undefined
    }
    socket.off('close', gone)
    if (!secureContext) return plain(shared, socket, governed, closed)
    const tls = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: [choice.protocol] })
    watchHandshake(tls, {
      failed(failure, isSaid) {
        const why = distrust({ error: isSaid ? failure : undefined, shown: socket.bytesWritten > 0 })
        if (why === undefined) recordRefusal(shared, governed, governed.rule, `${UNFINISHED}: ${failure}`)
        else distrusted(shared, governed, `${UNFINISHED}: ${why}`)
      },
      left: () => distrusted(shared, governed, LEFT_AT_ONCE),
    })
    if (choice.protocol === 'h2') return new H2Pair(shared, tls, governed, choice.opening, closed)
    return new AgentConnection(shared, tls, socket, governed, closed, choice.opening)
  } catch (error) {
    recordRefusal(shared, governed, governed.rule, messageOf(error))
    socket.destroy()
    await forget(choice)
    return undefined
  }
}

/** Closes the connection to the provider that nobody wants any more. */
async function forget(choice: Choice): Promise<void> {
  if (choice.protocol === 'none') return
  const opened = await choice.opening?.catch(() => undefined)
  opened?.connection.destroy()
}

/** Why the connection may not be intercepted. */
async function whyNot(
  shared: Shared,
  governed: Governed,
): Promise<{ readonly protocol: 'none'; readonly rule: string; readonly reason: string } | undefined> {
  const { name: policy, proxy } = shared.policy
  if (proxy.foreignAddress !== 'refuse' || governed.direct) return undefined
  const { name, originalDestination } = governed
  // A name that can't be resolved is the first exchange's to report.
  const route = await shared.directory.route(name, originalDestination.address).catch(() => undefined)
  if (!route?.mismatch) return undefined
  const rule = `${policy}/${'foreign-address' satisfies RuleId}`
  const reason = `${name} was dialled at ${originalDestination.address}, which is not its address`
  return { protocol: 'none', rule, reason }
}

function plain(shared: Shared, socket: Socket, governed: Governed, closed: Closed): AgentConnection {
  const connection = new AgentConnection(shared, socket, socket, governed, closed)
  socket.resume()
  return connection
}

function distrusted(shared: Shared, governed: Governed, reason: string): void {
  recordRefusal(shared, governed, `${shared.policy.name}/${'client-refused' satisfies RuleId}`, reason)
  void shared.refusers.add(governed, now())
}
