/** Who was found to hold which socket, described when they were found: a moment later they may be gone. */
import type { CgroupTree } from './cgroup-tree.ts'
import type { Executables } from './executable.ts'
import { type Holder, socketLink } from './holders.ts'
import type { Owner } from './owner.ts'
import { type Described, describeProcess, sameProcess } from './process.ts'

export interface Held {
  readonly owners: readonly Owner[]
  /** Processes that hold it too and were only counted. */
  readonly beyond: number
}

/** Processes described for one socket: a hostile one is shared by thousands. */
const MAX_DESCRIBED = 32

export class Census {
  readonly #executables: Executables
  readonly #cgroups: CgroupTree
  readonly #processes = new Map<number, Described>()
  readonly #held = new Map<number, { pids: number[]; beyond: number }>()

  constructor(executables: Executables, cgroups: CgroupTree) {
    this.#executables = executables
    this.#cgroups = cgroups
  }

  add(inode: number, { pid, link }: Holder): void {
    const held = this.#held.get(inode) ?? { pids: [], beyond: 0 }
    this.#held.set(inode, held)
    if (held.pids.length >= MAX_DESCRIBED) held.beyond += 1
    else if (this.#describe(pid, link, socketLink(inode))) held.pids.push(pid)
  }

  of(inode: number): Held {
    const { pids, beyond } = this.#held.get(inode) ?? { pids: [], beyond: 0 }
    return { owners: pids.flatMap((pid) => this.#owner(pid) ?? []), beyond }
  }

  /** A process is described once, and counts for another socket where it holds that too. */
  #describe(pid: number, link: string, target: string): boolean {
    const known = this.#processes.get(pid)
    if (known) return sameProcess(known, link, target)
    const described = describeProcess(pid, link, target, this.#executables)
    if (!described) return false
    this.#processes.set(pid, described)
    const { cgroup } = described.owner
    if (cgroup !== undefined) this.#cgroups.learn(cgroup)
    return true
  }

  #owner(pid: number): Owner | undefined {
    const described = this.#processes.get(pid)
    if (!described) return undefined
    const { owner, content } = described
    const sha256 = content === undefined ? undefined : this.#executables.sha256(content)
    return sha256 === undefined ? owner : { ...owner, sha256 }
  }
}
