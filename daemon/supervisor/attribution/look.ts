/**
 * Looks for the processes behind connections, many questions at a time: one pass through /proc serves all that have come
 * since the last. Never a guess: a client that is gone when it is looked for stays unknown.
 */
import type { FlowOwner } from '../../../firewall/flow-owner.ts'
import type { Agent } from '../../recorder/record.ts'
import { Census } from './census.ts'
import { CgroupTree } from './cgroup-tree.ts'
import { Executables } from './executable.ts'
import { findHolders } from './holders.ts'
import { findInNamespaces, isLocal, otherNamespaces } from './namespaces.ts'
import { agentOf, agentOfOneAmong, type Owner, type OwnerFlow } from './owner.ts'
import { Pace } from './pace.ts'

export interface Found {
  /** Empty where nobody could be found. */
  readonly owners: readonly Owner[]
  readonly agent: Agent
}

export interface LookOptions {
  /** Asks the kernel for a socket of this network namespace. */
  readonly flowOwner: (flow: OwnerFlow) => FlowOwner | undefined
  readonly pace?: Pace
}

interface Question {
  readonly flow: OwnerFlow
  readonly asked: number
  readonly answer: (found: Found) => void
}

/** A socket that fits a question; `cgroup` is an id. */
type Candidate = Pick<OwnerFlow, 'uid' | 'cgroup'> & { readonly inode: number }

/** Questions that one pass serves. */
const MAX_BATCH = 4096
/** A client that nobody had the time to look for is unknown. */
const GIVE_UP_MS = 8000
const NOBODY: Found = { owners: [], agent: {} }

export class Look {
  readonly #flowOwner: LookOptions['flowOwner']
  readonly #pace: Pace
  readonly #executables: Executables
  readonly #cgroups = new CgroupTree()
  #queue: Question[] = []
  #running = false

  constructor({ flowOwner, pace = new Pace() }: LookOptions) {
    this.#flowOwner = flowOwner
    this.#pace = pace
    this.#executables = new Executables(pace)
  }

  ask(flow: OwnerFlow): Promise<Found> {
    return new Promise((answer) => {
      this.#queue.push({ flow, asked: performance.now(), answer })
      if (this.#running) return
      this.#running = true
      // All that came in this turn of the event loop is one pass.
      setImmediate(() => void this.#run())
    })
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      await this.#pace.rested()
      const batch = this.#queue.splice(0, MAX_BATCH)
      await this.#pass(batch).catch(() => {})
      // Answered already, but where the pass came to a bad end.
      for (const { answer } of batch) answer(NOBODY)
    }
    this.#running = false
  }

  async #pass(batch: readonly Question[]): Promise<void> {
    const candidates = await this.#candidates(batch)
    const inodes = new Set([...candidates.values()].flat().map(({ inode }) => inode))
    if (inodes.size === 0) return
    const census = new Census(this.#executables, this.#cgroups)
    await findHolders(inodes, this.#pace, (inode, holder) => census.add(inode, holder))
    await this.#executables.hash()
    for (const [question, sockets] of candidates) {
      const held = sockets.map(({ inode }) => census.of(inode))
      const owners = held.flatMap((one) => one.owners)
      question.answer({ owners, agent: this.#agent(sockets, owners, held[0]?.beyond ?? 0) })
    }
  }

  /** Sockets that fit each question: one here, or any number in other namespaces. */
  async #candidates(batch: readonly Question[]): Promise<Map<Question, readonly Candidate[]>> {
    const found = new Map<Question, readonly Candidate[]>()
    const foreign = new Map<OwnerFlow, Question>()
    for (const question of batch) {
      if (this.#pace.step()) await this.#pace.rested()
      if (performance.now() - question.asked > GIVE_UP_MS) continue
      const socket = this.#socket(question.flow)
      if (socket) found.set(question, [socket])
      else if (!isLocal(question.flow.client.address)) foreign.set(question.flow, question)
    }
    if (foreign.size === 0) return found
    const namespaces = await otherNamespaces(this.#pace)
    for (const [flow, sockets] of await findInNamespaces([...foreign.keys()], namespaces, this.#pace)) {
      const question = foreign.get(flow)
      if (question) found.set(question, sockets)
    }
    return found
  }

  #socket(flow: OwnerFlow): Candidate | undefined {
    const { inode, uid, cgroup } = flow
    if (inode !== undefined) {
      return { inode, ...(uid === undefined ? {} : { uid }), ...(cgroup === undefined ? {} : { cgroup }) }
    }
    return this.#flowOwner(flow)
  }

  #agent(sockets: readonly Candidate[], owners: readonly Owner[], beyond: number): Agent {
    const [socket] = sockets
    if (socket === undefined) return {}
    if (sockets.length > 1) return agentOfOneAmong(owners)
    const cgroup = socket.cgroup === undefined ? undefined : this.#cgroups.pathOf(socket.cgroup)
    return agentOf({ inode: socket.inode, uid: socket.uid, cgroup }, owners, beyond)
  }
}
