/**
 * Sockets of another network namespace, from /proc/PID/net/{tcp,tcp6,udp,udp6} of a process in it (proc_net(5)): NETLINK_SOCK_DIAG
 * would show them only to a thread that has entered the namespace, which takes rights that the supervisor doesn't have.
 */
import { endianness } from 'node:os'
import { addressBytes } from '../../../firewall/ip-address.ts'
import type { OwnerFlow } from './owner.ts'

export interface TableSocket {
  readonly inode: number
  readonly uid: number
}

/** Tables in which a socket of the flow may stand: an IPv6 socket may speak IPv4. */
export function tablesOf({ protocol, family }: OwnerFlow): readonly string[] {
  return family === 4 ? [protocol, `${protocol}6`] : [`${protocol}6`]
}

/** Both ends as a table of that family has them: words of the machine's byte order in hex, colon, port. */
export function tableKey({ client, destination }: OwnerFlow, table: string): string | undefined {
  const ends = [client, destination].map(({ address, port }) => {
    const bytes = addressBytes(address)
    if (!bytes) return undefined
    const wide = table.endsWith('6') && bytes.length === 4 ? Buffer.concat([MAPPED, bytes]) : bytes
    if (wide.length !== (table.endsWith('6') ? 16 : 4)) return undefined
    return `${words(wide)}:${port.toString(16).padStart(4, '0').toUpperCase()}`
  })
  return ends.includes(undefined) ? undefined : ends.join(' ')
}

const MAPPED = Buffer.from('00000000000000000000ffff', 'hex')
const LITTLE = endianness() === 'LE'

function words(bytes: Buffer): string {
  const found = Buffer.from(bytes)
  if (LITTLE) found.swap32()
  return found.toString('hex').toUpperCase()
}

/** sl, local, remote, state, queues, timer, retransmits, uid, timeout, inode. */
const ROW = /^ *\d+: ([0-9A-F]+:[0-9A-F]{4} [0-9A-F]+:[0-9A-F]{4}) \S+ \S+ \S+ \S+ +(\d+) +\d+ (\d+)/

/** The sockets of those names that some process holds. @param text of the table */
export function findInTable(text: string, keys: ReadonlySet<string>): Map<string, TableSocket> {
  const found = new Map<string, TableSocket>()
  for (const line of text.split('\n')) {
    const row = ROW.exec(line)
    const key = row?.[1]
    if (key === undefined || !keys.has(key)) continue
    const [uid, inode] = [Number(row?.[2]), Number(row?.[3])]
    if (inode !== 0) found.set(key, { inode, uid })
  }
  return found
}
