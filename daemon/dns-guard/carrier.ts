/**
 * Names as a carrier (`longNames: refuse`): whoever runs a zone's name servers reads the names that are asked for
 * below it, so names carry data past every fence, over the machine's own resolver.
 *
 * The measure, decided by what honest names look like: one name may carry 100 octets to the left of its zone, and
 * what a client asks for below one zone may add up to 8 KiB of different names in ten minutes; each is counted once,
 * as 8 octets at least. So through one zone leave at most 14 bytes a second, in the mean, and a client that is over
 * still gets what it has asked for before. Governed names are exempt: their servers are the providers' own.
 *
 * A zone is the last two labels, three where the country sells names in second levels (`co.uk`). Cycling through
 * made-up zones doesn't clear an account: a full table forgets the lightest first.
 */
import { hash, randomBytes } from 'node:crypto'

const MAX_CARRIED = 100
const BUDGET = 8192
const LEAST_CHARGE = 8
const WINDOW_MS = 10 * 60_000
const MAX_ACCOUNTS = 512

interface Account {
  readonly until: number
  spent: number
  /** Salted digests of the names that were charged: nobody can find two names that count as one. */
  readonly names: Set<number>
}

/** The part of a name, lower case, that its owner registered. */
export function zoneOf(name: string): string {
  const labels = name.split('.')
  const [second = '', top = ''] = labels.slice(-2)
  return labels.slice(top.length === 2 && second.length <= 3 ? -3 : -2).join('.')
}

export class Carrier {
  readonly #accounts = new Map<string, Account>()
  readonly #salt = randomBytes(16).toString('hex')
  readonly #clock: () => number

  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock
  }

  /** Charges a question to its account; a reason, where it must not be asked. */
  refuse(client: string, name: string): string | undefined {
    const zone = zoneOf(name)
    const carried = name.length - zone.length
    if (carried === 0) return undefined
    if (carried > MAX_CARRIED) return `the name carries ${carried} octets below ${zone}`
    const account = this.#account(`${client} ${zone}`)
    const digest = hash('sha1', `${this.#salt}${name}`, 'buffer').readUIntBE(0, 6)
    if (account.names.has(digest)) return undefined
    const charge = Math.max(carried, LEAST_CHARGE)
    if (account.spent + charge > BUDGET) {
      return `the names asked for below ${zone} carry more than ${BUDGET} octets in ${WINDOW_MS / 60_000} minutes`
    }
    account.spent += charge
    account.names.add(digest)
    return undefined
  }

  #account(key: string): Account {
    const time = this.#clock()
    const known = this.#accounts.get(key)
    if (known && known.until > time) return known
    if (!known && this.#accounts.size >= MAX_ACCOUNTS) this.#forget(time)
    const fresh: Account = { until: time + WINDOW_MS, spent: 0, names: new Set() }
    this.#accounts.set(key, fresh)
    return fresh
  }

  #forget(time: number): void {
    let lightest: string | undefined
    let least = Number.POSITIVE_INFINITY
    for (const [key, { until, spent }] of this.#accounts) {
      if (until <= time) this.#accounts.delete(key)
      else if (spent < least) {
        least = spent
        lightest = key
      }
    }
    if (this.#accounts.size >= MAX_ACCOUNTS && lightest !== undefined) this.#accounts.delete(lightest)
  }
}
