/** What the service manager is told (sd_notify protocol), where there is one. */
import { execFile } from 'node:child_process'

/** Says `READY=1`, `STOPPING=1` … to systemd; does nothing where NOTIFY_SOCKET is absent. */
export function notify(...states: string[]): Promise<void> {
  if (!process.env.NOTIFY_SOCKET) return Promise.resolve()
  // Node has no datagram Unix sockets; systemd-notify is there wherever NOTIFY_SOCKET is.
  return new Promise((resolve) => {
    execFile(
      'systemd-notify',
      states,
      { env: { PATH: '/usr/bin:/bin', NOTIFY_SOCKET: process.env.NOTIFY_SOCKET } },
      () => resolve(),
    )
  })
}
