/**
 * Questions under way. One that is asked already is waited for, not asked twice: it can't be forged by asking it often
 * (RFC 5452 section 5, birthday attacks), and a question that comes back through a local resolver ends here instead
 * of going round. Bounded in all and for each client.
 */
const MAX_JOBS = 1024
const MAX_WAITING = 2048
const MAX_OF_CLIENT = 512

export interface InFlightLimits {
  readonly jobs: number
  readonly waiting: number
  readonly ofClient: number
}

export interface Job<Result> {
  readonly result: Promise<Result>
  /** Another's question, which was under way already. */
  readonly joined: boolean
}

export class InFlight<Result> {
  readonly #limits: InFlightLimits
  readonly #jobs = new Map<string, Promise<Result>>()
  readonly #ofClient = new Map<string, number>()
  #waiting = 0

  constructor(limits: InFlightLimits = { jobs: MAX_JOBS, waiting: MAX_WAITING, ofClient: MAX_OF_CLIENT }) {
    this.#limits = limits
  }

  /** `undefined` where a bound is reached: nothing is begun then. */
  join(client: string, key: string, begin: () => Promise<Result>): Job<Result> | undefined {
    const own = this.#ofClient.get(client) ?? 0
    if (this.#waiting >= this.#limits.waiting || own >= this.#limits.ofClient) return undefined
    const known = this.#jobs.get(key)
    if (known === undefined && this.#jobs.size >= this.#limits.jobs) return undefined
    const result = known ?? begin().finally(() => this.#jobs.delete(key))
    if (known === undefined) this.#jobs.set(key, result)
    this.#waiting += 1
    this.#ofClient.set(client, own + 1)
    const leave = () => this.#left(client)
    result.then(leave, leave)
    return { result, joined: known !== undefined }
  }

  #left(client: string): void {
    this.#waiting -= 1
    const own = (this.#ofClient.get(client) ?? 1) - 1
    if (own > 0) this.#ofClient.set(client, own)
    else this.#ofClient.delete(client)
  }
}
