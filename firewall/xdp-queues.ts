/**
 * Keeps AF_XDP sockets from sending on the uplinks. Frames of these go straight to the driver: no netfilter hook,
 * no packet tap sees them (net/xdp/xsk.c, __dev_direct_xmit; measured on Linux 6.18), and CAP_NET_RAW suffices,
 * which containers have by default. But a queue of a device takes one socket's memory only, so a socket that is
 * bound to it and does nothing leaves EBUSY for everybody else.
 *
 * Copy mode: the driver isn't touched, no XDP program is involved, nothing is received. What it costs: other users
 * of AF_XDP on the uplinks, and the number of a device's queues can't be lowered (ethtool -L) while it lasts. It
 * ends with this process, and who bound a queue before keeps it: {@link XdpQueues.hold} names those.
 */
import { constants, endianness } from 'node:os'
import { callFailed, deviceIndex, int, libc, mapPages, SOCK_CLOEXEC } from './libc.ts'

/** linux/if_xdp.h. */
const AF_XDP = 44
const SOL_XDP = 283
const XDP_TX_RING = 3
const XDP_UMEM_REG = 4
const XDP_UMEM_FILL_RING = 5
const XDP_UMEM_COMPLETION_RING = 6
const XDP_COPY = 2
const SOCK_RAW = 3
/** The least that the kernel takes: one chunk, in one page. */
const CHUNK = 4096
const PAGE = 65_536
const { EAFNOSUPPORT, EBUSY, EINVAL, ENODEV } = constants.errno
const REMEDY = 'let the gateway have CAP_NET_RAW and raise its limit of locked memory (LimitMEMLOCK)'
/** More than any driver has (TC_MAX_QUEUE is 16 × 65,535, cards have some hundred). */
const MAX_QUEUES = 4096

export interface TakenQueue {
  readonly device: string
  readonly queue: number
}

export interface XdpQueues {
  /**
   * Holds every queue of these devices, and no longer those of others; idempotent, and takes in queues and
   * devices that came since. Gives the queues that another process has.
   * @throws FirewallError `system-call`
   */
  hold(devices: readonly string[]): TakenQueue[]
  close(): void
}

interface Held {
  readonly index: number
  /** Descriptor by queue; absent where another process has it. */
  readonly sockets: Map<number, number>
}

export function xdpQueues(): XdpQueues {
  const held = new Map<string, Held>()
  let memory: bigint | undefined
  const release = (device: string) => {
    for (const fd of held.get(device)?.sockets.values() ?? []) libc.close(fd)
    held.delete(device)
  }

  const holdDevice = (device: string, index: number): TakenQueue[] => {
    // Another device of that name: the sockets died with the one before.
    if (held.get(device)?.index !== index) release(device)
    const sockets = held.get(device)?.sockets ?? new Map<number, number>()
    held.set(device, { index, sockets })
    const taken: TakenQueue[] = []
    for (let queue = 0; queue < MAX_QUEUES; queue++) {
      if (sockets.has(queue)) continue
      memory ??= mapPages(PAGE)
      const result = bindQueue(index, queue, memory)
      if (result >= 0) sockets.set(queue, result)
      else if (result === -EBUSY) taken.push({ device, queue })
      else if (result === -EINVAL || result === -ENODEV || result === -EAFNOSUPPORT) break
      else throw callFailed(`AF_XDP socket on ${device}`, result, REMEDY)
    }
    return taken
  }

  return {
    hold(devices) {
      for (const device of [...held.keys()]) if (!devices.includes(device)) release(device)
      return devices.flatMap((device) => {
        const index = deviceIndex(device)
        if (index !== undefined) return holdDevice(device, index)
        release(device)
        return []
      })
    },
    close() {
      for (const device of [...held.keys()]) release(device)
    },
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
