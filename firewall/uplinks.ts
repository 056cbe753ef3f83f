/**
 * Uplinks: the devices by which packets leave this machine past what its sockets went through, and so where the
 * egress chains stand and the leak sensor listens.
 *
 * Every device that is up is one, hardware or not (a tunnel, a macvlan and a veth into another namespace carry
 * traffic out as well as an Ethernet card), but for
 * - loopback,
 * - the containers' bridges of the configuration and the legs of containers on them: what comes from those is
 *   routed, and meets the forward hook.
 * A port of a bond or of another bridge counts: whoever sends on the port itself passes no other hook.
 */
import { constants } from 'node:os'
import type { FirewallError } from './errors.ts'
import { callFailed, libc } from './libc.ts'
import type { Device } from './link-dump.ts'
import { formatLinkDump, parseLinkAnswer } from './link-dump.ts'
import { NETLINK, openNetlink, REMEDY } from './netlink-socket.ts'

/** Above what a chain can be bound to (NFT_NETDEVICE_MAX is 256) nothing is gained. */
const MOST = 200
/** Kinds that stand for one container or guest on a bridge. */
const LEGS = new Set(['veth', 'tun', 'netkit'])

/** The uplinks among the devices, sorted by name; hardware comes first where there are more than 200. Pure. */
export function uplinksOf(devices: readonly Device[], bridges: readonly string[]): string[] {
  const isBridge = ({ name }: Device) =>
    bridges.some((b) => (b.endsWith('*') ? name.startsWith(b.slice(0, -1)) : name === b))
  const containerBridges = new Set(devices.filter(isBridge).map(({ index }) => index))
  const isLeg = ({ kind = '', master }: Device) =>
    LEGS.has(kind) && master !== undefined && containerBridges.has(master)
  return devices
    .filter((device) => device.up && !device.loopback && !isBridge(device) && !isLeg(device))
    .sort((a, b) => Number(a.kind !== undefined) - Number(b.kind !== undefined) || order(a.name, b.name))
    .slice(0, MOST)
    .map(({ name }) => name)
    .sort(order)
}

const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)

export interface UplinkWatch {
  readonly names: readonly string[]
  /** Looks for news now. */
  look(): void
  stop(): void
}

/**
 * Between two looks for news. The kernel queues them; a look without any is one system call of some
 * microseconds, which a child process on a pipe would not undercut, and nobody can kill it.
 */
const LOOK_MS = 100

/**
 * Watches the devices of this network namespace; `changed` is called with the new list whenever it differs from
 * the one before, 0.1 s after the change at the latest. What the list starts as stands in `names`.
 * @throws FirewallError `system-call`
 */
export function watchUplinks(options: {
  /** Interfaces of containers; `br-*` stands for every name that starts so. */
  readonly bridges: readonly string[]
  readonly changed: (names: string[]) => void
  /** A later look failed; the next one is made all the same. */
  readonly failed: (error: FirewallError) => void
}): UplinkWatch {
  const news = openNetlink(NETLINK.route, RTMGRP_LINK)
  let names: string[]
  try {
    names = uplinksOf(listDevices(), options.bridges)
  } catch (error) {
    libc.close(news)
    throw error
  }
  let stopped = false
  const find = () => {
    if (stopped || !drain(news)) return
    const found = uplinksOf(listDevices(), options.bridges)
    if (found.join() === names.join()) return
    names = found
    options.changed(found)
  }
  const look = () => {
    try {
      find()
    } catch (error) {
      options.failed(error as FirewallError)
    }
  }
  const timer = setInterval(look, LOOK_MS)
  timer.unref()
  return {
    get names() {
      return names
    },
    look,
    stop() {
      if (stopped) return
      stopped = true
      clearInterval(timer)
      libc.close(news)
    },
  }
}

const RTMGRP_LINK = 1
const MSG_DONTWAIT = 0x40
/** A dump that changes while it is read is asked for again. */
const TRIES = 5
/** netlink(7): 32 KiB hold any datagram of a dump. */
const datagram = Buffer.alloc(32 * 1024)
let sequence = 0

/** True where there was news. What the news is, a fresh list tells, also where the queue had overflowed. */
function drain(fd: number): boolean {
  let news = false
  for (;;) {
    const size = libc.recv(fd, datagram, datagram.length, MSG_DONTWAIT)
    if (size === -constants.errno.EAGAIN) return news
    if (size < 0 && size !== -constants.errno.ENOBUFS && size !== -constants.errno.EINTR)
      throw callFailed('recv from NETLINK_ROUTE', size, REMEDY)
    news = true
  }
}

/** @throws FirewallError `system-call` */
function listDevices(): Device[] {
  const fd = openNetlink(NETLINK.route)
  try {
    for (let tries = 1; ; tries++) {
      const { devices, interrupted } = dump(fd)
      if (!interrupted || tries === TRIES) return devices
    }
  } finally {
    libc.close(fd)
  }
}

function dump(fd: number): { devices: Device[]; interrupted: boolean } {
  sequence = (sequence + 1) >>> 0
  const question = formatLinkDump(sequence)
  const sent = libc.send(fd, question, question.length, 0)
  if (sent < 0) throw callFailed('send to NETLINK_ROUTE', sent, REMEDY)
  const devices: Device[] = []
  let interrupted = false
  for (;;) {
    const size = libc.recv(fd, datagram, datagram.length, 0)
    if (size < 0) throw callFailed('recv from NETLINK_ROUTE', size, REMEDY)
    const answer = parseLinkAnswer(datagram.subarray(0, size), sequence)
    if (answer.errno) throw callFailed('RTM_GETLINK', -answer.errno, REMEDY)
    devices.push(...answer.devices)
    interrupted ||= answer.interrupted
    if (answer.done) return { devices, interrupted }
  }
}
