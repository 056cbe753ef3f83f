/**
 * Who holds a socket: every process with a descriptor of it, forked and passed ones included. /proc is read a little at a
 * time. A socket on its way in a message (SCM_RIGHTS), or registered with io_uring alone, is held by nobody that shows.
 */
import { readdirSync, readlinkSync } from 'node:fs'
import { shareDescriptors } from './kinship.ts'
import type { Pace } from './pace.ts'

export interface Holder {
  readonly pid: number
  /** The descriptor in /proc. */
  readonly link: string
}

/** Called at once for each process that holds a socket: it may be gone a moment later. */
export type Holds = (inode: number, holder: Holder) => void

const PID = /^\d+$/
/** Tables of descriptors that one process's threads may have of their own; nothing sane has any. */
const MAX_TABLES = 64

/** @param inodes sockets that are looked for */
export async function findHolders(inodes: ReadonlySet<number>, pace: Pace, holds: Holds): Promise<void> {
  const search = new Search(inodes, pace, holds)
  for (const pid of newestFirst()) await search.table(pid, `/proc/${pid}/fd`)
  if (search.complete) return
  // Some have no holder: a thread may keep descriptors for itself, or outlive its process's first one.
  for (const pid of newestFirst()) {
    const tables = [pid]
    for (const task of numbers(`/proc/${pid}/task`)) {
      if (pace.step()) await pace.rested()
      if (tables.length > MAX_TABLES || tables.some((of) => of === task || shareDescriptors(of, task)))
        continue
      tables.push(task)
      await search.table(pid, `/proc/${pid}/task/${task}/fd`)
    }
  }
}

class Search {
  readonly #pids = new Map<number, Set<number>>()
  readonly #wanted: ReadonlyMap<string, number>
  readonly #pace: Pace
  readonly #found: Holds

  constructor(inodes: ReadonlySet<number>, pace: Pace, found: Holds) {
    this.#wanted = new Map([...inodes].map((inode) => [socketLink(inode), inode]))
    this.#pace = pace
    this.#found = found
  }

  get complete(): boolean {
    return this.#pids.size === this.#wanted.size
  }

  async table(pid: number, directory: string): Promise<void> {
    for (const name of entries(directory)) {
      const link = `${directory}/${name}`
      const inode = this.#wanted.get(target(link))
      if (inode !== undefined) this.#holds(inode, { pid, link })
      if (this.#pace.step()) await this.#pace.rested()
    }
    if (this.#pace.step()) await this.#pace.rested()
  }

  /** A process counts once, however many descriptors it has of the socket. */
  #holds(inode: number, holder: Holder): void {
    const pids = this.#pids.get(inode) ?? new Set()
    this.#pids.set(inode, pids)
    if (pids.has(holder.pid)) return
    pids.add(holder.pid)
    this.#found(inode, holder)
  }
}

/** Who has come last is likely to be who has just connected, and the first to go. */
const newestFirst = () => numbers('/proc').sort((a, b) => b - a)

/** What a descriptor of that socket leads to. */
export const socketLink = (inode: number): string => `socket:[${inode}]`

/** Entries of a directory of /proc that are processes or tasks; empty where it is gone. */
export function numbers(directory: string): number[] {
  return entries(directory).flatMap((name) => (PID.test(name) ? [Number(name)] : []))
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function target(link: string): string {
  try {
    return readlinkSync(link)
  } catch {
    return ''
  }
}
