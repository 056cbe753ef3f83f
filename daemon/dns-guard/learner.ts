/** Addresses of governed names, told to the supervisor before a client hears of them. */
import type { AnswerEntry } from '../wire/dns-answer.ts'

const TIMEOUT_MS = 500
const MAX_PENDING = 1024
const MAX_ENTRIES = 256

export interface Learn {
  readonly request: number
  readonly name: string
  readonly entries: readonly AnswerEntry[]
}

export class Learner {
  readonly #ask: (learn: Learn) => void
  readonly #timeoutMs: number
  readonly #pending = new Map<number, (learned: boolean) => void>()
  #last = 0

  constructor(ask: (learn: Learn) => void, timeoutMs = TIMEOUT_MS) {
    this.#ask = ask
    this.#timeoutMs = timeoutMs
  }

  /** True once the kernel's sets hold the addresses; false where that wasn't acknowledged in time. */
  learn(name: string, entries: readonly AnswerEntry[]): Promise<boolean> {
    if (this.#pending.size >= MAX_PENDING || entries.length > MAX_ENTRIES) return Promise.resolve(false)
    this.#last += 1
    const request = this.#last
    return new Promise((resolve) => {
      const settle = (learned: boolean) => {
        clearTimeout(timer)
        this.#pending.delete(request)
        resolve(learned)
      }
      const timer = setTimeout(() => settle(false), this.#timeoutMs)
      this.#pending.set(request, settle)
      this.#ask({ request, name, entries })
    })
  }

  /** The supervisor's acknowledgement. */
  learned(request: number): void {
    this.#pending.get(request)?.(true)
  }
}
