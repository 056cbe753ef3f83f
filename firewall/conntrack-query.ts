/**
 * The question to connection tracking about one TCP connection, by its reply, and the answer (NETLINK_NETFILTER,
 * linux/netfilter/nfnetlink_conntrack.h): pure.
 */
import { isIPv6 } from 'node:net'
import { addressBytes, addressText, type Endpoint } from './ip-address.ts'
import { AF_INET, AF_INET6 } from './libc.ts'
import {
  attribute,
  attributesOf,
  errnoOf,
  messageOf,
  messagesOf,
  NLM_F_REQUEST,
  NLMSG_ERROR,
  nested,
} from './netlink-message.ts'

/** NFNL_SUBSYS_CTNETLINK in the upper byte, the message below. */
const CT_NEW = 0x100
const CT_GET = 0x101
/** nfgenmsg: family, version, resource id. */
const NFGENMSG = 4
const CTA_TUPLE_ORIG = 1
const CTA_TUPLE_REPLY = 2
const CTA_TUPLE_IP = 1
const CTA_TUPLE_PROTO = 2
/** Source, destination. */
const CTA_IP = { 4: [1, 2], 6: [3, 4] } as const
const CTA_PROTO_NUM = 1
const CTA_PROTO_PORTS = [2, 3] as const
const TCP = 6

/** As the accepting end sees it. */
export interface Accepted {
  /** The end that accepted. */
  readonly local: Endpoint
  readonly peer: Endpoint
}

/** undefined where the ends are no addresses of one family. */
export function formatConntrackQuery(sequence: number, { local, peer }: Accepted): Buffer | undefined {
  const family = isIPv6(local.address) ? 6 : 4
  const [from, to] = [addressBytes(local.address), addressBytes(peer.address)]
  const length = family === 6 ? 16 : 4
  if (from?.length !== length || to?.length !== length) return undefined
  const [source, destination] = CTA_IP[family]
  const tuple = nested(
    CTA_TUPLE_REPLY,
    nested(CTA_TUPLE_IP, attribute(source, from), attribute(destination, to)),
    nested(
      CTA_TUPLE_PROTO,
      attribute(CTA_PROTO_NUM, Buffer.of(TCP)),
      attribute(CTA_PROTO_PORTS[0], port(local.port)),
      attribute(CTA_PROTO_PORTS[1], port(peer.port)),
    ),
  )
  const head = Buffer.alloc(NFGENMSG)
  head[0] = family === 6 ? AF_INET6 : AF_INET
  return messageOf({ type: CT_GET, flags: NLM_F_REQUEST, sequence, body: Buffer.concat([head, tuple]) })
}

export type ConntrackAnswer =
  /** Who opened the connection, as its own socket has it. */
  { readonly source: Endpoint } | { readonly errno: number }

/** The answer to `sequence` in a datagram; undefined where it holds none. */
export function parseConntrackAnswer(datagram: Buffer, sequence: number): ConntrackAnswer | undefined {
  for (const { type, sequence: of, body } of messagesOf(datagram)) {
    if (of !== sequence) continue
    if (type === NLMSG_ERROR) return { errno: errnoOf(body) ?? 0 }
    const source = type === CT_NEW ? sourceOf(body) : undefined
    if (source) return { source }
  }
  return undefined
}

function sourceOf(body: Buffer): Endpoint | undefined {
  const original = within(body.subarray(NFGENMSG), CTA_TUPLE_ORIG)
  const ip = original && within(original, CTA_TUPLE_IP)
  const proto = original && within(original, CTA_TUPLE_PROTO)
  const address = ip && (within(ip, CTA_IP[4][0]) ?? within(ip, CTA_IP[6][0]))
  const from = proto && within(proto, CTA_PROTO_PORTS[0])
  const text = address && addressText(address)
  return text === undefined || from?.length !== 2 ? undefined : { address: text, port: from.readUInt16BE(0) }
}

function within(bytes: Buffer, wanted: number): Buffer | undefined {
  for (const [type, value] of attributesOf(bytes)) if (type === wanted) return value
  return undefined
}

/** Ports stand in network order, unlike netlink's own numbers. */
function port(number: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(number)
  return bytes
}
