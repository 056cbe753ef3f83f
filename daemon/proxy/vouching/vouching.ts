/**
 * Does the server at an address vouch for a name? Asked once for each name, spelling, address, port and ALPN; the
 * answer is remembered for a while.
 *
 * Threat model: agents ask for as many names as they like. What is asked at once and what is remembered is bounded,
 * what one agent may ask is bounded apart from the others', and a flood of refused names can't push out good ones.
 */
import { Allowance } from './allowance.ts'
import type { Finding, Inquiry } from './certificate-probe.ts'

interface Remembered {
  readonly finding: Finding
  readonly until: number
}

/** How long a finding holds, ms. A network's failure is soon over. */
const HOLDS_MS = { own: 3600_000, shared: 3600_000, none: 60_000, unreached: 5000 } as const
const MAX_REMEMBERED = 4096
const MAX_AT_ONCE = 256
/** A browser's first page has some dozens of names. */
const EACH = { burst: 100, perSecond: 5 }
const ALL = { burst: 400, perSecond: 50 }
const TOO_MANY: Finding = { standing: 'none', why: 'too many names at once to ask their servers' }

export interface VouchingOptions {
  readonly probe: (inquiry: Inquiry) => Promise<Finding>
  /** Milliseconds, monotonic. */
  readonly clock?: () => number
}

export class Vouching {
  readonly #probe: (inquiry: Inquiry) => Promise<Finding>
  readonly #clock: () => number
  readonly #allowance: Allowance
  readonly #good = new Map<string, Remembered>()
  readonly #bad = new Map<string, Remembered>()
  readonly #asked = new Map<string, Promise<Finding>>()

  constructor({ probe, clock = () => performance.now() }: VouchingOptions) {
    this.#probe = probe
    this.#clock = clock
    this.#allowance = new Allowance(EACH, ALL, clock)
  }

  /** @param asker whose allowance it is */
  ask(inquiry: Inquiry, asker: string): Finding | Promise<Finding> {
    const key = keyOf(inquiry)
    const known = this.#good.get(key) ?? this.#bad.get(key)
    if (known && known.until > this.#clock()) return known.finding
    const under = this.#asked.get(key)
    if (under) return under
    if (this.#asked.size >= MAX_AT_ONCE || !this.#allowance.take(asker)) return TOO_MANY
    const asked = this.#probe(inquiry)
      .then((finding) => this.#remember(key, finding))
      .finally(() => this.#asked.delete(key))
    this.#asked.set(key, asked)
    return asked
  }

  /** It didn't answer when it was dialled: ask again before the next time. */
  forget(inquiry: Inquiry): void {
    this.#good.delete(keyOf(inquiry))
  }

  #remember(key: string, finding: Finding): Finding {
    this.#good.delete(key)
    this.#bad.delete(key)
    const { standing } = finding
    const memory = standing === 'own' || standing === 'shared' ? this.#good : this.#bad
    memory.set(key, { finding, until: this.#clock() + HOLDS_MS[standing] })
    if (memory.size > MAX_REMEMBERED) memory.delete(memory.keys().next().value as string)
    return finding
  }
}

const keyOf = ({ address, port, sni, name, alpn }: Inquiry): string =>
  JSON.stringify([name, sni, address, port, alpn])
