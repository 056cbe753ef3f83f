/**
 * Settings of an nfnetlink_log group (linux/netfilter/nfnetlink_log.h) that libpcap leaves at the kernel's: packets
 * are numbered, so that each one that got lost shows; and they come at once or after a short while, not after a second.
 *
 * A full buffer is no error on the socket any more: libuv never polls a descriptor again that had one (uv__poll_io), and
 * the sensor would be deaf from its first overrun on (measured).
 *
 * The kernel takes them only from the socket that has the group.
 */
import { endianness } from 'node:os'
import { callFailed, int, libc, SOL_SOCKET } from '../../firewall/libc.ts'

export interface LogSettings {
  /** Bytes of a packet that are handed over; pcap's snapshot length must leave room for what is written around them. */
  readonly copyBytes: number
  /** Packets that are gathered before they are handed over. */
  readonly gather: number
  /** Hundredths of a second after which they are handed over all the same. */
  readonly waitCentiseconds: number
  /** Room in the socket for what nobody has read yet; more than net.core.rmem_max takes CAP_NET_ADMIN. */
  readonly bufferBytes: number
}

const NFNL_SUBSYS_ULOG = 4
const NFULNL_MSG_CONFIG = 1
const NLM_F_REQUEST = 1
const NFULA_CFG_MODE = 2
const NFULNL_COPY_PACKET = 2
const NFULA_CFG_TIMEOUT = 4
const NFULA_CFG_QTHRESH = 5
const NFULA_CFG_FLAGS = 6
const NFULNL_CFG_F_SEQ = 1
const SO_RCVBUFFORCE = 33
const SOL_NETLINK = 270
const NETLINK_NO_ENOBUFS = 5
const LITTLE = endianness() === 'LE'
const REMEDY = 'run the sensor with CAP_NET_ADMIN on a kernel with nfnetlink_log'

/**
 * @param fd the capture's netlink socket
 * @throws FirewallError `system-call`
 */
export function configureLog(fd: number, group: number, settings: LogSettings): void {
  const set = (level: number, option: number, value: number, name: string) => {
    const result = libc.setsockopt(fd, level, option, int(value), int(value).length)
    if (result < 0) throw callFailed(`setsockopt ${name}`, result, REMEDY)
  }
  set(SOL_SOCKET, SO_RCVBUFFORCE, settings.bufferBytes, 'SO_RCVBUFFORCE')
  set(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1, 'NETLINK_NO_ENOBUFS')
  const message = formatLogConfig(group, settings)
  const sent = libc.send(fd, message, message.length, 0)
  if (sent < 0) throw callFailed('send to nfnetlink_log', sent, REMEDY)
}

/** NFULNL_MSG_CONFIG: nlmsghdr, nfgenmsg with the group, attributes in network order. */
export function formatLogConfig(group: number, settings: LogSettings): Buffer {
  const head = Buffer.alloc(20)
  const generic = 16
  head.writeUInt16BE(group, generic + 2)
  const attributes = [
    attribute(NFULA_CFG_MODE, [settings.copyBytes, 4], [NFULNL_COPY_PACKET, 1], [0, 1]),
    attribute(NFULA_CFG_QTHRESH, [settings.gather, 4]),
    attribute(NFULA_CFG_TIMEOUT, [settings.waitCentiseconds, 4]),
    attribute(NFULA_CFG_FLAGS, [NFULNL_CFG_F_SEQ, 2]),
  ]
  const message = Buffer.concat([head, ...attributes])
  put32(message, message.length, 0)
  put16(message, (NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_CONFIG, 4)
  put16(message, NLM_F_REQUEST, 6)
  return message
}

function attribute(type: number, ...fields: readonly (readonly [value: number, size: number])[]): Buffer {
  const value = Buffer.concat(
    fields.map(([number, size]) => {
      const bytes = Buffer.alloc(size)
      bytes.writeUIntBE(number, 0, size)
      return bytes
    }),
  )
  const head = Buffer.alloc(4)
  put16(head, 4 + value.length, 0)
  put16(head, type, 2)
  return Buffer.concat([head, value, Buffer.alloc((4 - (value.length % 4)) % 4)])
}

const put16 = (bytes: Buffer, value: number, at: number) =>
  LITTLE ? bytes.writeUInt16LE(value, at) : bytes.writeUInt16BE(value, at)
const put32 = (bytes: Buffer, value: number, at: number) =>
  LITTLE ? bytes.writeUInt32LE(value, at) : bytes.writeUInt32BE(value, at)
