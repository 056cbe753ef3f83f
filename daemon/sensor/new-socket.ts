/** libpcap opens sockets and keeps them to itself: which one it has just opened. */
import { readdirSync } from 'node:fs'
import { int, libc, SOL_SOCKET } from '../../firewall/libc.ts'

export const AF_NETLINK = 16
export const AF_PACKET = 17
const SO_DOMAIN = 39

/** Runs `open`; gives what it gives, and the socket of that family that is there since; -1 where there is none. */
export function withNewSocket<T>(family: number, open: () => T): { opened: T; fd: number } {
  const before = socketsOf(family)
  const opened = open()
  const fd = socketsOf(family).find((each) => !before.includes(each)) ?? -1
  return { opened, fd }
}

function socketsOf(family: number): number[] {
  const domain = int(0)
  return readdirSync('/proc/self/fd')
    .map(Number)
    .filter((fd) => {
      const known = libc.getsockopt(fd, SOL_SOCKET, SO_DOMAIN, domain, int(domain.length)) === 0
      return known && domain.equals(int(family))
    })
}
