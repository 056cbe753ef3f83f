/** What the service manager is told (sd_notify(3)), where there is one. */
import { existsSync } from 'node:fs'
import { sendDatagram } from './unix-datagram.ts'

/** sd_booted(3): systemd is PID 1 exactly where this directory is. */
export const systemdRuns = (): boolean => existsSync('/run/systemd/system')

/**
 * Says `READY=1`, `STOPPING=1` … to systemd; does nothing where NOTIFY_SOCKET is absent. It comes from this very
 * process, so that the unit need not listen to children (NotifyAccess=main). That it can't be said is no error: a
 * service manager that waits for it will say so.
 */
export function notify(state: string): void {
  const path = process.env.NOTIFY_SOCKET
  if (path) sendDatagram(path, Buffer.from(state))
}

/** Tells systemd three times in each WatchdogSec= that this process still turns; undefined where it doesn't ask. */
export function keepAlive(): NodeJS.Timeout | undefined {
  const microseconds = Number(process.env.WATCHDOG_USEC)
  if (!(microseconds > 0)) return undefined
  return setInterval(() => notify('WATCHDOG=1'), microseconds / 1000 / 3).unref()
}
