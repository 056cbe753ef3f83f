/**
 * Binds a packet socket to another device (packet(7)): opening one takes CAP_NET_RAW, moving one takes nothing, and its
 * ring and its filter stay as they are.
 */
import { callFailed, libc } from '../../firewall/libc.ts'
import { AF_PACKET } from './new-socket.ts'

const ETH_P_ALL = 0x0003
/**
 * IEEE 802's local experimental ethertype: on loopback nothing comes of it, and a socket for one protocol is not in
 * the list that the kernel walks for every packet, as one for all of them is, whatever its filter.
 */
const ETH_P_NOTHING = 0x88b5
/** The first device of every network namespace. */
const LOOPBACK = 1
const SIZE = 20
const REMEDY = 'wait for the next list of uplinks'

/** All that leaves and comes by that device. @throws FirewallError `system-call` where there is none of that index */
export function bindPacketSocket(fd: number, index: number): void {
  bind(fd, index, ETH_P_ALL)
}

/** Nothing at all, until it is bound again. @throws FirewallError `system-call` */
export function parkPacketSocket(fd: number): void {
  bind(fd, LOOPBACK, ETH_P_NOTHING)
}

/** struct sockaddr_ll: family and index are the machine's order, the protocol is the network's. */
function bind(fd: number, index: number, protocol: number): void {
  const address = Buffer.alloc(SIZE)
  new Uint16Array(address.buffer, address.byteOffset, 1)[0] = AF_PACKET
  address.writeUInt16BE(protocol, 2)
  new Int32Array(address.buffer, address.byteOffset + 4, 1)[0] = index
  const bound = libc.bind(fd, address, SIZE)
  if (bound < 0) throw callFailed('bind AF_PACKET', bound, REMEDY)
}
