/** Files that root makes for the daemon must be the daemon's: so root becomes their owner before it writes. */
import { statSync } from 'node:fs'

export interface Owner {
  readonly uid: number
  readonly gid: number
}

export function ownerOf(path: string): Owner {
  const { uid, gid } = statSync(path)
  return { uid, gid }
}

/** For the rest of the process: there is no way back. New files are closed to everybody else. */
export function become({ uid, gid }: Owner): void {
  process.umask(0o077)
  if (process.getuid?.() !== 0 || uid === 0) return
  process.setgroups?.([gid])
  process.setgid?.(gid)
  process.setuid?.(uid)
}
