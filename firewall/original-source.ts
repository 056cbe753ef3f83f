/**
 * Where a redirected connection came from. A client's port is another one at the proxy where two of its connections, to
 * different servers and from the same port, would be one there: then the kernel translates the source too, and the
 * client's socket isn't found by what accept(2) says. Asks connection tracking; needs CAP_NET_ADMIN.
 */
import { constants } from 'node:os'
import { type Accepted, formatConntrackQuery, parseConntrackAnswer } from './conntrack-query.ts'
import type { Endpoint } from './ip-address.ts'
import { callFailed, libc } from './libc.ts'
import { NETLINK, openNetlink, REMEDY } from './netlink-socket.ts'

let netlink: number | undefined
let sequence = 0
const reply = Buffer.alloc(8192)

/**
 * The client's own end; undefined where the connection is not tracked (any more).
 * @throws FirewallError `system-call` where the kernel can't be asked
 */
export function originalSource(accepted: Accepted): Endpoint | undefined {
  sequence = (sequence + 1) >>> 0
  const query = formatConntrackQuery(sequence, accepted)
  if (!query) return undefined
  netlink ??= openNetlink(NETLINK.netfilter)
  const sent = libc.send(netlink, query, query.length, 0)
  if (sent < 0) throw callFailed('send to NETLINK_NETFILTER', sent, REMEDY)
  for (;;) {
    const size = libc.recv(netlink, reply, reply.length, 0)
    if (size < 0) throw callFailed('recv from NETLINK_NETFILTER', size, REMEDY)
    // One that came too late for the question before is passed over.
    const answer = parseConntrackAnswer(reply.subarray(0, size), sequence)
    if (!answer) continue
    if ('source' in answer) return answer.source
    if (answer.errno === constants.errno.ENOENT) return undefined
    throw callFailed('NETLINK_NETFILTER', -answer.errno, REMEDY)
  }
}
