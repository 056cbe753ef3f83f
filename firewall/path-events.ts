/**
 * What decides on the way of packets beside the ruleset, as NETLINK_ROUTE tells it (rtnetlink(7), linux/rtnetlink.h,
 * linux/fib_rules.h): rules of policy routing and traffic control, which can turn packets after the last of our
 * chains has seen them. Pure. Netlink is native-endian.
 */
import { endianness } from 'node:os'

export interface PathChange {
  readonly what: 'routing rule' | 'queueing discipline' | 'traffic filter' | 'traffic action'
  readonly made: boolean
  /** Index of the device; undefined for what belongs to none. */
  readonly device: number | undefined
  /** Of the routing rule. */
  readonly family: 4 | 6 | undefined
}

const KINDS: Readonly<Record<number, readonly [PathChange['what'], boolean]>> = {
  32: ['routing rule', true],
  33: ['routing rule', false],
  36: ['queueing discipline', true],
  37: ['queueing discipline', false],
  44: ['traffic filter', true],
  45: ['traffic filter', false],
  48: ['traffic action', true],
  49: ['traffic action', false],
}
const NLMSG_HEADER = 16
/** struct tcmsg: family 1, padding 3, ifindex 4. */
const IFINDEX = 4
const FAMILIES: Readonly<Record<number, 4 | 6>> = { 2: 4, 10: 6 }
const LITTLE = endianness() === 'LE'

export function parsePathChanges(datagram: Buffer): PathChange[] {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.length)
  const changes: PathChange[] = []
  for (let at = 0; at + NLMSG_HEADER <= datagram.length; ) {
    const length = view.getUint32(at, LITTLE)
    if (length < NLMSG_HEADER || at + length > datagram.length) break
    const [what, made] = KINDS[view.getUint16(at + 4, LITTLE)] ?? []
    if (what !== undefined && made !== undefined) {
      const body = at + NLMSG_HEADER
      const family =
        what === 'routing rule' && length > NLMSG_HEADER ? FAMILIES[datagram[body] ?? 0] : undefined
      const onDevice = what === 'queueing discipline' || what === 'traffic filter'
      const device =
        onDevice && length >= NLMSG_HEADER + IFINDEX + 4 ? view.getInt32(body + IFINDEX, LITTLE) : undefined
      changes.push({ what, made, device, family })
    }
    at += (length + 3) & ~3
  }
  return changes
}
