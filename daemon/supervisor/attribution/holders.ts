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

/** By inode of the socket. */
export type Holders = Map<number, Holder[]>

const PID = /^\d+$/
/** Tables of descriptors that one process's threads may have of their own; nothing sane has any. */
const MAX_TABLES = 64

/** @param inodes sockets that are looked for */
export async function findHolders(inodes: ReadonlySet<number>, pace: Pace): Promise<Holders> {
  const search = new Search(inodes, pace)
  for (const pid of numbers('/proc')) await search.table(pid, `/proc/${pid}/fd`)
  if (search.complete) return search.found
  // Some have no holder: a thread may keep descriptors for itself, or outlive its process's first one.
  for (const pid of numbers('/proc')) {
    const tables = [pid]
    for (const task of numbers(`/proc/${pid}/task`)) {
      if (pace.step()) await pace.rested()
      if (tables.length > MAX_TABLES || tables.some((of) => of === task || shareDescriptors(of, task)))
        continue
      tables.push(task)
      await search.table(pid, `/proc/${pid}/task/${task}/fd`)
    }
  }
  return search.found
}

class Search {
  readonly found: Holders = new Map()
  readonly #wanted: ReadonlyMap<string, number>
  readonly #pace: Pace

  constructor(inodes: ReadonlySet<number>, pace: Pace) {
    this.#wanted = new Map([...inodes].map((inode) => [socketLink(inode), inode]))
    this.#pace = pace
  }

  get complete(): boolean {
    return this.found.size === this.#wanted.size
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
    const holders = this.found.get(inode) ?? []
    if (!holders.some(({ pid }) => pid === holder.pid)) this.found.set(inode, [...holders, holder])
  }
}

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
