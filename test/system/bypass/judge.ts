/**
 * Who reached a site, told by what the internet saw and by what the kernel says of the proxy's own connections. Pure.
 */
import type { LogRecord } from '../../../daemon/recorder/record.ts'
import type { Packet } from '../../lab/packet-log.ts'
import { flowKey } from '../../lab/proxy-flows.ts'
import type { WireConnection } from '../../lab/wire-log.ts'

/** What was seen so far; each list only ever grows. */
export interface Sight {
  readonly connections: readonly WireConnection[]
  readonly packets: readonly Packet[]
  /** Connections that left from the proxy's account, as `flowKey` writes them. */
  readonly proxyFlows: ReadonlySet<string>
}

export interface Judgement {
  /** Whatever reached a watched address and was not the proxy, in words. */
  readonly intruders: readonly string[]
  /** Connections of the proxy's on which something new came. */
  readonly proxied: readonly WireConnection[]
  /** What it asked there, as `site METHOD target`. */
  readonly requests: readonly string[]
  /** Bytes it brought where no HTTP is spoken. */
  readonly bytes: number
}

const TCP = 6
const UDP = 17
const [ICMP, ICMPV6] = [1, 58]
/** Errors answer something that came from there (RFC 792, RFC 4443): they are the kernel's, and carry nothing new. */
const ICMP_ERRORS: Readonly<Record<number, readonly number[]>> = {
  [ICMP]: [3, 11, 12],
  [ICMPV6]: [1, 2, 3, 4],
}

/**
 * @param watched addresses that only the proxy may reach
 * @param secret what nobody there may receive, whoever brings it
 */
export function judge(before: Sight, after: Sight, watched: ReadonlySet<string>, secret?: string): Judgement {
  const intruders: string[] = []
  const proxied: WireConnection[] = []
  const requests: string[] = []
  let bytes = 0
  const earlier = new Map(before.connections.map((each) => [each.connection, each]))
  for (const connection of after.connections) {
    const was = earlier.get(connection.connection)
    const asked = connection.exchanges.slice(was?.exchanges.length ?? 0)
    const received = connection.received.length - (was?.received.length ?? 0)
    if (was !== undefined && asked.length === 0 && received === 0) continue
    if (secret !== undefined && connection.received.includes(secret)) {
      intruders.push(`${describe(connection)}, with what was to stay`)
    }
    if (!watched.has(connection.localAddress)) continue
    if (!after.proxyFlows.has(keyOf(connection))) {
      intruders.push(describe(connection))
      continue
    }
    proxied.push(connection)
    requests.push(...asked.map(({ method, target }) => `${connection.site} ${method} ${target}`))
    bytes += received
  }
  for (const packet of after.packets.slice(before.packets.length)) {
    if (watched.has(packet.destination) && isIntruder(packet, after.proxyFlows))
      intruders.push(describePacket(packet))
  }
  return { intruders, proxied, requests, bytes }
}

/** Requests that providers saw and no record tells of. */
export function unrecorded(requests: readonly string[], records: readonly LogRecord[]): string[] {
  const told = records.flatMap((record) =>
    record.kind === 'exchange' ? [`${record.server.name} ${record.http.method} ${record.http.target}`] : [],
  )
  return requests.filter((request) => {
    const at = told.indexOf(request)
    if (at >= 0) told.splice(at, 1)
    return at < 0
  })
}

export function keyOf({ protocol, remoteAddress, remotePort, localAddress, port }: WireConnection): string {
  const above = protocol === 'udp' ? 'udp' : 'tcp'
  return flowKey(above, { address: remoteAddress, port: remotePort }, { address: localAddress, port })
}

function isIntruder(packet: Packet, proxyFlows: ReadonlySet<string>): boolean {
  const { protocol, source, sourcePort = 0, destination, destinationPort = 0, icmpType = -1 } = packet
  if (ICMP_ERRORS[protocol]?.includes(icmpType)) return false
  if (protocol !== TCP && protocol !== UDP) return true
  return !proxyFlows.has(
    flowKey(
      protocol === TCP ? 'tcp' : 'udp',
      { address: source, port: sourcePort },
      { address: destination, port: destinationPort },
    ),
  )
}

function describe({
  at,
  protocol,
  site,
  port,
  remoteAddress,
  remotePort,
  exchanges,
}: WireConnection): string {
  return `${at}: ${protocol} from ${remoteAddress} port ${remotePort} at ${site} port ${port}, ${exchanges.length} requests`
}

function describePacket({ at, protocol, source, destination, destinationPort }: Packet): string {
  const port = destinationPort === undefined ? '' : ` port ${destinationPort}`
  return `${at}: a packet of protocol ${protocol} from ${source} to ${destination}${port}`
}
