/**
 * Keeps AF_XDP sockets from sending on the uplinks. Frames of these go straight to the driver: no netfilter hook,
 * no packet tap sees them (net/xdp/xsk.c, __dev_direct_xmit; measured on Linux 6.18), and CAP_NET_RAW suffices,
 * which containers have by default. But a queue of a device takes one socket's memory only, so a socket that is
 * bound to it and does nothing leaves EBUSY for everybody else.
 *
 * Copy mode: the driver isn't touched, no XDP program is involved, nothing is received. What it costs: other users
 * of AF_XDP on the uplinks, and the number of a device's queues can't be lowered (ethtool -L) while it lasts. It
 * ends with this process, and who bound a queue before keeps it: {@link XdpQueues.hold} names those. Devices may be
 * deleted, renamed and moved to other namespaces meanwhile: the kernel unbinds the sockets then.
 */
import { readFileSync } from 'node:fs'
import { constants, endianness } from 'node:os'
import { getSystemErrorName } from 'node:util'
import { deviceIndex, deviceName, int, libc, mapPages, SOCK_CLOEXEC, SOL_SOCKET } from './libc.ts'

/** linux/if_xdp.h. */
const AF_XDP = 44
const SOL_XDP = 283
const XDP_TX_RING = 3
const XDP_UMEM_REG = 4
const XDP_UMEM_FILL_RING = 5
const XDP_UMEM_COMPLETION_RING = 6
const XDP_COPY = 2
const SOCK_RAW = 3
const SO_ERROR = 4
/** The least that the kernel takes: one chunk, in one page. */
const CHUNK = 4096
const PAGE = 65_536
const { EAFNOSUPPORT, EBUSY, EINVAL, ENODEV } = constants.errno
/** More than any driver has (TC_MAX_QUEUE is 16 × 65,535, cards have some hundred). */
const MAX_QUEUES = 4096

/** A queue by which others may still send past the rules. */
export interface OpenQueue {
  readonly device: string
  readonly queue: number
  /** `taken`: another process has it. Else how the kernel refused, by its error's name; later queues weren't tried. */
  readonly why: 'taken' | string
}

export interface XdpQueues {
  /**
   * Holds every queue of these devices, and no longer those of others; idempotent, and takes in queues and
   * devices that came since. Gives the queues that it could not have.
   */
  hold(devices: readonly string[]): OpenQueue[]
  /** Names of the devices of which it holds a queue. */
  devices(): string[]
  close(): void
}

/** Descriptor by queue; absent where another process has it. */
type Sockets = Map<number, number>

/** Holds nothing where the kernel knows no AF_XDP: there is nothing to hold then. */
export function xdpQueues(): XdpQueues {
  /** By index: a name may come to be another device's. */
  const held = new Map<number, Sockets>()
  let memory: bigint | undefined
  const release = (index: number) => {
    for (const fd of held.get(index)?.values() ?? []) libc.close(fd)
    held.delete(index)
  }

  const holdDevice = (device: string, index: number): OpenQueue[] => {
    // A device that went to another network namespace and came back has its index, and our sockets no more.
    if ([...(held.get(index)?.values() ?? [])].some(isUnbound)) release(index)
    const sockets: Sockets = held.get(index) ?? new Map()
    held.set(index, sockets)
    const open: OpenQueue[] = []
    for (let queue = 0; queue < MAX_QUEUES; queue++) {
      if (sockets.has(queue)) continue
      memory ??= mapPages(PAGE)
      const result = bindQueue(index, queue, memory)
      if (result >= 0) {
        sockets.set(queue, result)
        continue
      }
      if (result === -EINVAL || result === -ENODEV) break
      if (result === -EAFNOSUPPORT && !kernelHasXdp()) break
      open.push({ device, queue, why: result === -EBUSY ? 'taken' : getSystemErrorName(result) })
      if (result !== -EBUSY) break
    }
    return open
  }

  return {
    hold(devices) {
      const indexes = new Map<string, number>()
      for (const device of devices) {
        const index = deviceIndex(device)
        if (index !== undefined) indexes.set(device, index)
      }
      const wanted = new Set(indexes.values())
      for (const index of [...held.keys()]) if (!wanted.has(index)) release(index)
      return [...indexes].flatMap(([device, index]) => holdDevice(device, index))
    },
    devices: () =>
      [...held].flatMap(([index, sockets]) => (sockets.size > 0 ? (deviceName(index) ?? []) : [])),
    close() {
      for (const index of [...held.keys()]) release(index)
    },
  }
}

/** The kernel leaves an error on the sockets of a device that it takes out of this namespace (xsk_notifier). */
function isUnbound(fd: number): boolean {
  const error = int(0)
  return (
    libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, error, int(error.length)) !== 0 ||
    error.some((byte) => byte !== 0)
  )
}

/** A filter of system calls (RestrictAddressFamilies) answers like a kernel without: its own list tells them apart. */
function kernelHasXdp(): boolean {
  try {
    return /^XDP\s/m.test(readFileSync('/proc/net/protocols', 'latin1'))
  } catch {
    return true
  }
}

/** A bound descriptor, or a negated errno: EINVAL past the last queue, EAFNOSUPPORT where the kernel has no AF_XDP. */
function bindQueue(index: number, queue: number, memory: bigint): number {
  const fd = libc.socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0)
  if (fd < 0) return fd
  const region = bytes(24, (view, little) => {
    view.setBigUint64(0, memory, little)
    view.setBigUint64(8, BigInt(CHUNK), little)
    view.setUint32(16, CHUNK, little)
  })
  const address = bytes(16, (view, little) => {
    view.setUint16(0, AF_XDP, little)
    view.setUint16(2, XDP_COPY, little)
    view.setUint32(4, index, little)
    view.setUint32(8, queue, little)
  })
  const set = (option: number, value: Buffer) => libc.setsockopt(fd, SOL_XDP, option, value, value.length)
  const steps = [
    () => set(XDP_UMEM_REG, region),
    () => set(XDP_UMEM_FILL_RING, int(1)),
    () => set(XDP_UMEM_COMPLETION_RING, int(1)),
    () => set(XDP_TX_RING, int(1)),
    () => libc.bind(fd, address, address.length),
  ]
  for (const step of steps) {
    const result = step()
    if (result >= 0) continue
    libc.close(fd)
    return result
  }
  return fd
}

function bytes(size: number, fill: (view: DataView, little: boolean) => void): Buffer {
  const buffer = Buffer.alloc(size)
  fill(new DataView(buffer.buffer, buffer.byteOffset, size), endianness() === 'LE')
  return buffer
}
