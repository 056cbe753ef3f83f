/**
 * Watches what turns packets beside the ruleset: policy routing, traffic control, and the tables of the older iptables,
 * which `nft monitor` doesn't know. Root alone can change them, and nothing here undoes it: it is told.
 *
 * Not seen: programs attached to devices, sockets or control groups by bpf(2).
 */
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import type { FirewallError } from './errors.ts'
import { callFailed, libc } from './libc.ts'
import { NETLINK, openNetlink, REMEDY } from './netlink-socket.ts'
import { type PathChange, parsePathChanges } from './path-events.ts'

export interface PathWatch {
  stop(): void
}

/** As rarely as a look is still soon; the kernel queues what happens meanwhile. */
const LOOK_MS = 500
/** rtnetlink.h: RTNLGRP_TC is 4, RTNLGRP_IPV4_RULE 8, RTNLGRP_IPV6_RULE 19; a group's bit is one less. */
const GROUPS = [4, 8, 19].reduce((bits, group) => bits | (1 << (group - 1)), 0)
const MSG_DONTWAIT = 0x40
const LEGACY = { ip: '/proc/net/ip_tables_names', ip6: '/proc/net/ip6_tables_names' } as const
const datagram = Buffer.alloc(32 * 1024)

/** @throws FirewallError `system-call` */
export function watchPath(options: {
  readonly changed: (change: PathChange) => void
  /** Tables of iptables-legacy that came, as `ip nat`; those that are there at the start too. */
  readonly legacy: (table: string) => void
  /** There was more news than the kernel could keep. */
  readonly lost: () => void
  readonly failed: (error: FirewallError) => void
}): PathWatch {
  const news = openNetlink(NETLINK.route, GROUPS)
  const known = new Set<string>()
  const look = () => {
    for (;;) {
      const size = libc.recv(news, datagram, datagram.length, MSG_DONTWAIT)
      if (size === -constants.errno.EAGAIN) break
      if (size === -constants.errno.ENOBUFS) options.lost()
      else if (size < 0 && size !== -constants.errno.EINTR)
        return options.failed(callFailed('recv from NETLINK_ROUTE', size, REMEDY))
      else if (size > 0) parsePathChanges(datagram.subarray(0, size)).forEach(options.changed)
    }
    for (const table of legacyTables()) {
      if (known.has(table)) continue
      known.add(table)
      options.legacy(table)
    }
  }
  look()
  const timer = setInterval(look, LOOK_MS)
  timer.unref()
  let stopped = false
  return {
    stop() {
      if (stopped) return
      stopped = true
      clearInterval(timer)
      libc.close(news)
    },
  }
}

/** Those that the kernel has, as `ip nat`. */
export function legacyTables(): string[] {
  return Object.entries(LEGACY).flatMap(([family, file]) => {
    try {
      return readFileSync(file, 'latin1')
        .split('\n')
        .filter((name) => /^\w{1,31}$/.test(name))
        .map((name) => `${family} ${name}`)
    } catch {
      // A kernel without them.
      return []
    }
  })
}
