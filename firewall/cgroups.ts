/**
 * Which control groups exist. Services come and go, and nft, which names a group by its id, refuses one that
 * isn't there; so those that exist are told to the rules, and told again when that changes.
 */
import { type FSWatcher, statfsSync, statSync, watch } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Enforcement, Senders } from './enforcement.ts'

const ROOT = '/sys/fs/cgroup'
/** linux/magic.h: on hybrid hosts the directory is something else, and nft's ids would be of nothing. */
const CGROUP2_SUPER_MAGIC = 0x63677270
/** A second eye beside the watch, which sees no group made before the watch moved on to its parent. */
const LOOK_MS = 500

/** Paths of the enforcement's control groups, exempt and governed. */
export function cgroupsOf({ exempt, subjects }: Pick<Enforcement, 'exempt' | 'subjects'>): string[] {
  const senders: Senders[] = subjects === 'everyone' ? [exempt] : [exempt, subjects]
  return [...new Set(senders.flatMap(({ cgroups }) => cgroups))]
}

/** Those of the paths that are control groups now, each with its id, which another group of that name won't have. */
export function presentCgroups(paths: readonly string[]): ReadonlyMap<string, number> {
  const present = new Map<string, number>()
  if (paths.length === 0 || !isHierarchy()) return present
  for (const path of paths) {
    const found = statSync(join(ROOT, path), { throwIfNoEntry: false })
    if (found?.isDirectory()) present.set(path, found.ino)
  }
  return present
}

function isHierarchy(): boolean {
  try {
    return statfsSync(ROOT).type === CGROUP2_SUPER_MAGIC
  } catch {
    return false
  }
}

export interface CgroupWatch {
  stop(): void
}

/** Calls `changed` when one of the control groups appeared, vanished or is another than before. */
export function watchCgroups(paths: readonly string[], changed: () => void): CgroupWatch {
  const known = () => JSON.stringify([...presentCgroups(paths)])
  let before = known()
  const watches = new Map<string, FSWatcher>()
  const look = () => {
    follow()
    const now = known()
    if (now === before) return
    before = now
    changed()
  }
  const follow = () => {
    const wanted = new Set(paths.map((path) => nearest(join(ROOT, path))))
    for (const [directory, each] of watches) {
      if (wanted.has(directory)) continue
      each.close()
      watches.delete(directory)
    }
    for (const directory of wanted) {
      if (watches.has(directory)) continue
      try {
        const each = watch(directory, { persistent: false }, look)
        each.on('error', () => each.close())
        watches.set(directory, each)
      } catch {
        // Gone meanwhile, or no more watches to be had: the timer looks.
      }
    }
  }
  if (paths.length === 0) return { stop() {} }
  follow()
  const timer = setInterval(look, LOOK_MS).unref()
  return {
    stop() {
      clearInterval(timer)
      for (const each of watches.values()) each.close()
    },
  }
}

/** The parent that exists: where the next directory on the way to the path would appear. */
function nearest(path: string): string {
  let directory = dirname(path)
  while (directory !== ROOT && directory.startsWith(ROOT) && !statSync(directory, { throwIfNoEntry: false }))
    directory = dirname(directory)
  return directory
}
