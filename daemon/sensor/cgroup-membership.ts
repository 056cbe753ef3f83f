/**
 * Whether a control group, by its id, lies at or beneath another, by its path: ids are the inode numbers of the
 * directories of cgroup2, which anybody may read.
 */
import { readdirSync, statSync } from 'node:fs'
import { presentCgroups } from '../../firewall/cgroups.ts'

const ROOT = '/sys/fs/cgroup'
/** Directories looked at: a service has a handful. What lies beyond can't be told. */
const MOST = 2000
const MOST_KNOWN = 1024

/** Where the groups of these ids were found last. */
const known = new Map<bigint, string>()

/** False also where the group is gone. */
export function isWithinCgroup(id: bigint, path: string): boolean {
  if (!presentCgroups([path]).has(path)) return false
  const top = `${ROOT}/${path}`
  const last = known.get(id)
  if (last !== undefined && (last === top || last.startsWith(`${top}/`)) && inode(last) === id) return true
  const queue = [top]
  for (let looked = 0; queue.length > 0 && looked < MOST; looked += 1) {
    const directory = queue.shift() as string
    if (inode(directory) === id) {
      remember(id, directory)
      return true
    }
    queue.push(...children(directory))
  }
  return false
}

function remember(id: bigint, directory: string): void {
  known.delete(id)
  known.set(id, directory)
  const [oldest] = known.keys()
  if (known.size > MOST_KNOWN && oldest !== undefined) known.delete(oldest)
}

const inode = (directory: string): bigint | undefined =>
  statSync(directory, { bigint: true, throwIfNoEntry: false })?.ino

function children(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true })
    return entries.flatMap((entry) => (entry.isDirectory() ? [`${directory}/${entry.name}`] : []))
  } catch {
    // Removed meanwhile.
    return []
  }
}
