/**
 * Questions to the supervisor about the process behind a connection. The answer comes when it comes: what the agent sees
 * waits for it only where the kernel said nothing at accept, and a record for a moment. Until then the agent is what the
 * kernel said.
 */
import type { Agent, Endpoint } from '../recorder/protocol.ts'

export interface OwnerQuestion {
  readonly request: number
  readonly family: 4 | 6
  readonly client: Endpoint
  readonly destination: Endpoint
  /** The end that accepted it, where nobody's socket was found by the client's: its port may be translated. */
  readonly listener?: Endpoint
  /** Of the client's socket, where the kernel knew it at accept. */
  readonly inode?: number
  readonly uid?: number
  /** Id of the cgroup that it was made in. */
  readonly cgroup?: bigint
}

/** A connection's owner: `agent` grows when the answer comes. */
export interface Owner {
  readonly agent: Agent
  /** Settles with the answer, or when records wait no longer for it; undefined afterwards. */
  readonly pending: Promise<void> | undefined
}

interface Asked {
  readonly agent: Agent
  pending: Promise<void> | undefined
  readonly settle: () => void
  readonly at: number
}

/** How long a record waits for its agent's process: a look through /proc takes some 50 ms. */
const RECORD_WAITS_MS = 500
/** After this no answer will come; the supervisor gives up earlier. */
const FORGET_MS = 15_000
const SWEEP_MS = 100
/** Questions under way; connections beyond are recorded with what the kernel said. */
const MAX_ASKED = 8192

export class Owners {
  readonly #ask: ((question: OwnerQuestion) => void) | undefined
  /** In the order asked. */
  readonly #asked = new Map<number, Asked>()
  #request = 0
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  /** @param ask undefined where there is nobody to ask */
  constructor(ask: ((question: OwnerQuestion) => void) | undefined) {
    this.#ask = ask
  }

  /** @param agent what the kernel said at accept; becomes the owner's and is changed by the answer */
  of(flow: Omit<OwnerQuestion, 'request'>, agent: Agent): Owner {
    if (!this.#ask || this.#stopped || this.#asked.size >= MAX_ASKED) return { agent, pending: undefined }
    this.#request = (this.#request + 1) >>> 0
    const request = this.#request
    const { promise, resolve } = Promise.withResolvers<void>()
    const asked: Asked = {
      agent,
      pending: promise,
      settle: () => {
        asked.pending = undefined
        resolve()
      },
      at: performance.now(),
    }
    this.#asked.set(request, asked)
    this.#timer ??= setInterval(() => this.#sweep(), SWEEP_MS).unref()
    this.#ask({ request, ...flow })
    return asked
  }

  answer(request: number, found: Agent): void {
    const asked = this.#asked.get(request)
    if (!asked) return
    this.#asked.delete(request)
    const { inode } = asked.agent
    // Another socket of the same name: the client's own is gone, and whose it was with it.
    if (inode === undefined || found.inode === undefined || inode === found.inode) {
      Object.assign(asked.agent, found)
    }
    asked.settle()
  }

  /** Lets every record that waits go. */
  stop(): void {
    this.#stopped = true
    clearInterval(this.#timer)
    for (const asked of this.#asked.values()) asked.settle()
    this.#asked.clear()
  }

  #sweep(): void {
    const now = performance.now()
    for (const [request, asked] of this.#asked) {
      const age = now - asked.at
      if (age < RECORD_WAITS_MS) break
      asked.settle()
      if (age >= FORGET_MS) this.#asked.delete(request)
    }
    if (this.#asked.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
