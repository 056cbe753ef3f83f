/**
 * Datagrams together with the local address that they were sent to, and answers from that address: conntrack takes
 * an answer's redirection back only where it comes from there, and a socket bound to no address answers from
 * whichever the route prefers (a redirected local query came to 127.0.0.1, its answer would leave from another).
 * Node's own sockets don't tell that address, so this is recvmsg(2) and sendmsg(2) with IP_PKTINFO (ip(7)) and
 * IPV6_PKTINFO (RFC 3542 section 6). Layouts are those of 64-bit Linux.
 */
import { constants } from 'node:os'
import koffi from 'koffi'
import { addressText, type Endpoint } from './ip-address.ts'
import { libc, pollLater } from './libc.ts'
import { parseSockaddr, SOCKADDR_IN6_SIZE } from './socket-address.ts'

const MSG_TRUNC = 0x20
const MSG_DONTWAIT = 0x40
const POLLIN = 1
const IPPROTO_IP = 0
const IP_PKTINFO = 8
const IPPROTO_IPV6 = 41
const IPV6_PKTINFO = 50

/** struct msghdr: name, namelen, iov, iovlen, control, controllen, flags. */
const MESSAGE_SIZE = 56
const IOVEC_SIZE = 16
const CMSG_HEADER = 16
/** Room for one control message of either family, CMSG_SPACE(20). */
const CONTROL_SIZE = 40

export interface DatagramSocket {
  readonly fd: number
  readonly family: 4 | 6
}

/** Where an answer goes, and from where. */
export interface ReturnPath {
  readonly socket: DatagramSocket
  /** The sender's sockaddr, scope included. */
  readonly peer: Buffer
  /** Network-order bytes of the address that it sent to. */
  readonly local: Buffer
  /** Index of the device that it came by. */
  readonly device: number
}

export interface Datagram {
  readonly bytes: Buffer
  readonly client: Endpoint
  /** The address that it was sent to. */
  readonly local: string
  readonly path: ReturnPath
}

/** One call's msghdr and all that it points to, in memory that doesn't move. */
class Frame {
  readonly #memory: Buffer
  readonly message: Buffer
  readonly peer: Buffer
  readonly control: Buffer
  readonly data: Buffer

  constructor(size: number) {
    const peerAt = MESSAGE_SIZE + IOVEC_SIZE
    const controlAt = peerAt + 32
    const dataAt = controlAt + CONTROL_SIZE
    const memory = Buffer.allocUnsafeSlow(dataAt + size).fill(0)
    const base = koffi.address(memory)
    this.#memory = memory
    this.message = memory.subarray(0, MESSAGE_SIZE)
    this.peer = memory.subarray(peerAt, peerAt + SOCKADDR_IN6_SIZE)
    this.control = memory.subarray(controlAt, controlAt + CONTROL_SIZE)
    this.data = memory.subarray(dataAt)
    const pointers = [
      [0, base + BigInt(peerAt)],
      [16, base + BigInt(MESSAGE_SIZE)],
      [24, 1n],
      [32, base + BigInt(controlAt)],
      [MESSAGE_SIZE, base + BigInt(dataAt)],
    ] as const
    for (const [at, value] of pointers) memory.writeBigUInt64LE(value, at)
  }

  /** Sets how much each part holds, for the kernel to read or to fill. */
  sizes(peer: number, control: number, data: number): void {
    this.message.writeUInt32LE(peer, 8)
    this.message.writeBigUInt64LE(BigInt(control), 40)
    this.message.writeUInt32LE(0, 48)
    this.#memory.writeBigUInt64LE(BigInt(data), MESSAGE_SIZE + 8)
  }
}

/** UDP's own limit (65,535 less headers). */
const MAX_DATAGRAM = 65_507
let sending: Frame | undefined

/** Sends an answer; false where the kernel would not take it (its buffer is full, the peer's device is gone). */
export function sendDatagram({ socket, peer, local, device }: ReturnPath, bytes: Buffer): boolean {
  if (bytes.length > MAX_DATAGRAM) return false
  sending ??= new Frame(MAX_DATAGRAM)
  peer.copy(sending.peer)
  bytes.copy(sending.data)
  const control = sending.control.fill(0)
  const v4 = socket.family === 4
  const size = v4 ? 12 : 20
  control.writeBigUInt64LE(BigInt(CMSG_HEADER + size), 0)
  control.writeInt32LE(v4 ? IPPROTO_IP : IPPROTO_IPV6, 8)
  control.writeInt32LE(v4 ? IP_PKTINFO : IPV6_PKTINFO, 12)
  // in_pktinfo: device, source, destination. in6_pktinfo: source, device, which a link-local source needs.
  local.copy(control, CMSG_HEADER + (v4 ? 4 : 0))
  if (!v4 && isLinkLocal(local)) control.writeInt32LE(device, CMSG_HEADER + 16)
  sending.sizes(peer.length, CMSG_HEADER + (v4 ? 16 : 24), bytes.length)
  return libc.sendmsg(socket.fd, sending.message, MSG_DONTWAIT) === bytes.length
}

const isLinkLocal = (address: Buffer) => address[0] === 0xfe && ((address[1] ?? 0) & 0xc0) === 0x80

export interface Receiver {
  /** Resolves once nothing waits for the sockets any more: until then the kernel keeps closed ones bound. */
  stop(): Promise<void>
}

export interface ReceiverOptions {
  readonly sockets: readonly DatagramSocket[]
  /** Octets; longer datagrams are dropped. */
  readonly maxSize: number
  readonly received: (datagram: Datagram) => void
}

/** So many datagrams of a socket at a time, before others get their turn. */
const BATCH = 64
/** The wait for datagrams holds a thread of the pool; the process ends once it returns. */
const WAIT_MS = 250
/** After a failure that isn't a datagram's own, so that it can't spin. */
const PAUSE_MS = 100

/** Receives until it is stopped. Waits in one thread of libuv's pool: nothing else in Node waits for a descriptor. */
export function receiveDatagrams({ sockets, maxSize, received }: ReceiverOptions): Receiver {
  const frame = new Frame(maxSize)
  // struct pollfd: fd, events, revents.
  const waiting = Buffer.allocUnsafeSlow(8 * sockets.length).fill(0)
  for (const [i, { fd }] of sockets.entries()) {
    waiting.writeInt32LE(fd, 8 * i)
    waiting.writeInt16LE(POLLIN, 8 * i + 4)
  }
  let stopped = false
  const { promise: idle, resolve: becomeIdle } = Promise.withResolvers<void>()
  const drain = (socket: DatagramSocket): boolean => {
    for (let left = BATCH; left > 0 && !stopped; left -= 1) {
      const datagram = receive(socket, frame)
      if (datagram === 'none') return true
      if (datagram === 'failed') return false
      if (datagram !== 'unusable') received(datagram)
    }
    return true
  }
  const wait = () => {
    if (stopped) return becomeIdle()
    pollLater(waiting, sockets.length, WAIT_MS, (error, ready) => {
      let healthy = error === null && ready >= 0
      if (ready > 0) {
        for (const [i, socket] of sockets.entries()) {
          if (waiting.readInt16LE(8 * i + 6) !== 0) healthy = drain(socket) && healthy
        }
      }
      if (healthy) wait()
      else setTimeout(wait, PAUSE_MS)
    })
  }
  wait()
  return {
    stop() {
      stopped = true
      return idle
    },
  }
}

const { EAGAIN, EINTR } = constants.errno

function receive(socket: DatagramSocket, frame: Frame): Datagram | 'none' | 'failed' | 'unusable' {
  frame.sizes(SOCKADDR_IN6_SIZE, CONTROL_SIZE, frame.data.length)
  const size = libc.recvmsg(socket.fd, frame.message, MSG_DONTWAIT)
  if (size === -EAGAIN || size === -EINTR) return 'none'
  if (size < 0) return 'failed'
  if ((frame.message.readInt32LE(48) & MSG_TRUNC) !== 0) return 'unusable'
  const peer = Buffer.from(frame.peer.subarray(0, frame.message.readUInt32LE(8)))
  const client = parseSockaddr(peer)
  const to = localEnd(frame.control.subarray(0, Number(frame.message.readBigUInt64LE(40))))
  if (client === undefined || to === undefined) return 'unusable'
  return {
    bytes: Buffer.from(frame.data.subarray(0, size)),
    client,
    local: addressText(to.local),
    path: { socket, peer, ...to },
  }
}

function localEnd(control: Buffer): { local: Buffer; device: number } | undefined {
  if (control.length < CMSG_HEADER + 12) return undefined
  const level = control.readInt32LE(8)
  const type = control.readInt32LE(12)
  const data = control.subarray(CMSG_HEADER)
  if (level === IPPROTO_IP && type === IP_PKTINFO) {
    // The third field is the header's own destination; the second, where an answer would come from, may differ.
    return { device: data.readInt32LE(0), local: Buffer.from(data.subarray(8, 12)) }
  }
  if (level !== IPPROTO_IPV6 || type !== IPV6_PKTINFO || data.length < 20) return undefined
  return { device: data.readInt32LE(16), local: Buffer.from(data.subarray(0, 16)) }
}
