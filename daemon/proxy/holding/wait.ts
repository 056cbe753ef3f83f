/**
 * One answer's wait for its record to reach the level, to its end: reached, given up (an error for the agent), let go
 * all the same where the settings say `queue`, or nobody waits any more. An answer that is not handed out is evidence.
 */
import type { Bounded } from '../deadlines.ts'
import type { ProxyError } from '../proxy-error.ts'
import type { LevelListener } from '../recorder-link.ts'
import { type Governed, recordRefusal, type Shared } from '../relay/facts.ts'
import { unanchored } from './errors.ts'

/** The rule that stands in the record of an answer that was not handed out. */
const RULE = 'anchoring/held'

export class Wait implements LevelListener, Bounded {
  deadline = Number.POSITIVE_INFINITY
  readonly #shared: Shared
  readonly #governed: Governed
  readonly #id: string
  readonly #ended: (error: ProxyError | undefined) => void
  #done = false

  /** @param id of the record  @param ended called once, with an error where the answer must not be handed out */
  constructor(
    shared: Shared,
    governed: Governed,
    id: string,
    ended: (error: ProxyError | undefined) => void,
  ) {
    this.#shared = shared
    this.#governed = governed
    this.#id = id
    this.#ended = ended
    shared.holds.waiting += 1
    shared.holds.held += 1
  }

  /** From now on time is short. */
  start(): void {
    if (this.#done || this.deadline !== Number.POSITIVE_INFINITY) return
    const { deadlines, holds } = this.#shared
    this.deadline = performance.now() + (holds.settings?.maxMs ?? 0)
    deadlines.add(this)
  }

  get over(): boolean {
    return this.#done
  }

  reached(): void {
    this.#end(undefined)
  }

  unreached(reason: string): void {
    this.#giveUp(reason)
  }

  expire(): void {
    const { level = 'included', maxMs = 0 } = this.#shared.holds.settings ?? {}
    this.#giveUp(`the record of it was not ${level} within ${Math.round(maxMs / 1000)} s`)
  }

  /** The agent is gone, or is told something else. */
  abandon(why: string): void {
    if (this.#done) return
    this.#evidence(why)
    this.#end(undefined, true)
  }

  /** Nobody waits for an anchor: no record is kept, or the answer never came to its end. */
  cancel(): void {
    this.#end(undefined, true)
  }

  #giveUp(reason: string): void {
    if (this.#done) return
    const { holds } = this.#shared
    if (holds.settings?.onFailure === 'queue') {
      holds.early += 1
      this.#end(undefined)
      return
    }
    this.#evidence(reason)
    this.#end(unanchored(this.#governed, reason))
  }

  #evidence(why: string): void {
    this.#shared.holds.undelivered += 1
    recordRefusal(
      this.#shared,
      this.#governed,
      RULE,
      `the answer of exchange ${this.#id} was not handed out: ${why}`,
    )
  }

  #end(error: ProxyError | undefined, quiet = false): void {
    if (this.#done) return
    this.#done = true
    this.#shared.deadlines.delete(this)
    this.#shared.holds.waiting -= 1
    if (!quiet) this.#ended(error)
  }
}
