/** Connections for a governed name that pass unread, since their client can't be intercepted and the policy lets it. */
import type { Socket } from 'node:net'
import type { RuleId } from '../../../policies/rule-ids.ts'
import { now } from '../clock.ts'
import { type Governed, recordLetThrough, type Shared } from '../relay/facts.ts'
import { splice } from '../splice.ts'
import { reach } from '../upstream/reach.ts'

const NOTHING = Buffer.alloc(0)

export async function isUninterceptable(shared: Shared, governed: Governed): Promise<boolean> {
  if (!governed.tls || shared.policy.proxy.uninterceptable !== 'splice') return false
  return await shared.refusers.has(governed, now())
}

/**
 * To one of the name's own addresses, whatever the agent dialled.
 * @param socket paused, all received bytes put back on it
 */
export async function passUntouched(shared: Shared, socket: Socket, governed: Governed): Promise<void> {
  const { name, originalDestination } = governed
  let remote: Socket
  try {
    const { addresses } = await shared.directory.route(name, originalDestination.address)
    remote = (await reach(name, addresses, originalDestination.port, shared.dialled)).socket
  } catch {
    // As without a gateway: who it is for can't be reached.
    return void socket.resetAndDestroy()
  }
  const rule = `${shared.policy.name}/${'uninterceptable' satisfies RuleId}`
  recordLetThrough(
    shared,
    governed,
    rule,
    `let through unread, as the policy has it: this program refused the gateway's certificate for ${name}, or needs one of its own there`,
  )
  shared.counters.spliced += 1
  if (socket.destroyed) remote.destroy()
  else splice(socket, remote, NOTHING)
}
