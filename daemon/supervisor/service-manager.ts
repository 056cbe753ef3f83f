/** What the service manager is told (sd_notify(3)), where there is one. */
import { existsSync } from 'node:fs'
import { AF_UNIX, libc, SOCK_CLOEXEC, SOCK_DGRAM } from '../../firewall/libc.ts'

/** sd_booted(3): systemd is PID 1 exactly where this directory is. */
export const systemdRuns = (): boolean => existsSync('/run/systemd/system')

/**
 * Says `READY=1`, `STOPPING=1` … to systemd; does nothing where NOTIFY_SOCKET is absent. It comes from this very
 * process, so that the unit need not listen to children (NotifyAccess=main). That it can't be said is no error: a
 * service manager that waits for it will say so.
 */
export function notify(state: string): void {
  const path = process.env.NOTIFY_SOCKET
  if (!path) return
  // Node has no datagram Unix sockets.
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  if (fd < 0) return
  const address = unixAddress(path)
  const message = Buffer.from(state)
  if (libc.connect(fd, address, address.length) === 0) libc.send(fd, message, message.length, 0)
  libc.close(fd)
}

/** Tells systemd three times in each WatchdogSec= that this process still turns; undefined where it doesn't ask. */
export function keepAlive(): NodeJS.Timeout | undefined {
  const microseconds = Number(process.env.WATCHDOG_USEC)
  if (!(microseconds > 0)) return undefined
  return setInterval(() => notify('WATCHDOG=1'), microseconds / 1000 / 3).unref()
}

/** sockaddr_un(7): an abstract name, written with `@`, begins with a zero byte and has no end mark. */
function unixAddress(path: string): Buffer {
  const family = Buffer.from(Uint16Array.of(AF_UNIX).buffer)
  const name = path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`
  return Buffer.concat([family, Buffer.from(name)])
}
