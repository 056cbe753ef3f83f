/**
 * The addresses of governed names, and which one to dial.
 *
 * Threat model: the agent picks the pairing of name and address. A name is validated (SNI, Host), an address is
 * only believed where our own look-up gave it for that name; else one of the name's own is dialled and the
 * mismatch recorded. DNS answers may be forged (rebinding): addresses that no provider can have are dropped.
 */
import { isIPv4 } from 'node:net'
import { messageOf } from '../../base/errors.ts'
import { ProxyError } from '../proxy-error.ts'
import { canonicalAddress, isDialable } from './addresses.ts'
import type { Dns } from './dns.ts'

export interface Route {
  /** In the order in which they should be tried; at least one. */
  readonly addresses: readonly string[]
  /** The address that the agent dialled is none of the name's. */
  readonly mismatch: boolean
}

interface Known {
  /** The last answer, in its order. */
  addresses: readonly string[]
  /** Address to the time at which an answer last held it: front ends rotate, so membership outlives an answer. */
  readonly seen: Map<string, number>
  /** Until when the answer is good, in milliseconds of the monotonic clock. */
  until: number
  /** When it was last asked for. */
  asked: number
  pending: Promise<void> | undefined
}

export interface DirectoryOptions {
  readonly dns: Dns
  /** /etc/hosts: answers instead of DNS where it has the name. */
  readonly hosts: (name: string) => readonly string[]
  /** Names whose addresses the configuration gives; used as they are. */
  readonly fixed: ReadonlyMap<string, readonly string[]>
  /** A name was looked up: these are its addresses now, for so many seconds where DNS said how long. */
  readonly learned: (name: string, addresses: readonly string[], ttlSeconds?: number) => void
  /** Is it an address of this machine? */
  readonly isOwn?: (address: string) => boolean
  readonly clock?: () => number
}

const MAX_TTL_MS = 60_000
const MIN_TTL_MS = 1000
const REMEMBER_MS = 3600_000
/** How long an expired answer may still serve when DNS fails. */
const STALE_MS = 600_000
const MAX_NAMES = 4096
const MAX_REMEMBERED = 256
/** An unknown address asks DNS again, but a name not more often than this. */
const RECHECK_MS = 1000
const MAX_TRIED = 6

export class Directory {
  readonly #options: DirectoryOptions
  readonly #clock: () => number
  readonly #names = new Map<string, Known>()

  constructor(options: DirectoryOptions) {
    this.#options = options
    this.#clock = options.clock ?? (() => performance.now())
  }

  /**
   * Where to dial for `name` when the agent dialled `original`.
   * @throws ProxyError upstream_unresolved
   */
  async route(name: string, original: string): Promise<Route> {
    const fixed = this.#options.fixed.get(name)
    if (fixed && fixed.length > 0) return order(fixed, original, fixed.includes(original))
    const known = this.#known(name)
    if (!this.#remembers(known, original)) await this.#refresh(name, known)
    else if (known.until <= this.#clock()) this.#refresh(name, known).catch(() => {})
    const belongs = this.#remembers(known, original) && this.#mayDial(original)
    const addresses = known.addresses.filter((address) => this.#mayDial(address))
    if (addresses.length === 0 && !belongs) {
      throw new ProxyError(
        'upstream_unresolved',
        `${name} has no address that may be dialled`,
        'Check DNS and /etc/hosts: loopback, link-local and this machine’s own addresses are never dialled.',
      )
    }
    return order(addresses, original, belongs)
  }

  /** Asked when it is dialled: interfaces may have got an address since it was looked up. */
  #mayDial(address: string): boolean {
    return isDialable(address) && this.#options.isOwn?.(address) !== true
  }

  /** Looks a name up, whether or not anybody has dialled it. @throws ProxyError upstream_unresolved */
  async resolve(name: string): Promise<readonly string[]> {
    const fixed = this.#options.fixed.get(name)
    if (fixed) return fixed
    const known = this.#known(name)
    await this.#refresh(name, known)
    return known.addresses
  }

  #known(name: string): Known {
    const known = this.#names.get(name)
    if (known) return known
    if (this.#names.size >= MAX_NAMES) this.#names.delete(this.#names.keys().next().value as string)
    const fresh: Known = { addresses: [], seen: new Map(), until: -1, asked: -1, pending: undefined }
    this.#names.set(name, fresh)
    return fresh
  }

  #remembers(known: Known, address: string): boolean {
    const seen = known.seen.get(address)
    return seen !== undefined && this.#clock() - seen < REMEMBER_MS
  }

  #refresh(name: string, known: Known): Promise<void> {
    const recent = known.asked >= 0 && this.#clock() - known.asked < RECHECK_MS
    if (recent && known.addresses.length > 0) return known.pending ?? Promise.resolve()
    known.pending ??= this.#ask(name, known).finally(() => {
      known.pending = undefined
    })
    return known.pending
  }

  async #ask(name: string, known: Known): Promise<void> {
    const listed = this.#options.hosts(name)
    known.asked = this.#clock()
    try {
      if (listed.length > 0) {
        this.#take(name, known, listed, 1)
        return
      }
      const answer = await this.#options.dns(name)
      this.#take(name, known, answer.addresses, answer.ttl, answer.ttl)
    } catch (error) {
      const age = this.#clock() - known.until
      if (known.addresses.length > 0 && age < STALE_MS) return
      known.addresses = []
      throw new ProxyError(
        'upstream_unresolved',
        `${name} could not be resolved: ${messageOf(error)}`,
        'Check the name servers in /etc/resolv.conf.',
        error,
      )
    }
  }

  #take(name: string, known: Known, answer: readonly string[], ttl: number, told?: number): void {
    const time = this.#clock()
    const usable = new Set<string>()
    for (const text of answer) {
      const address = canonicalAddress(text)
      if (address !== undefined && this.#mayDial(address)) usable.add(address)
    }
    known.addresses = [...usable]
    known.until = time + Math.min(Math.max(ttl * 1000, MIN_TTL_MS), MAX_TTL_MS)
    for (const address of usable) {
      known.seen.delete(address)
      known.seen.set(address, time)
    }
    while (known.seen.size > MAX_REMEMBERED) known.seen.delete(known.seen.keys().next().value as string)
    if (usable.size > 0) this.#options.learned(name, known.addresses, told)
  }
}

/** The agent's own address first if it is the name's, then its family, then the other. */
function order(addresses: readonly string[], original: string, belongs: boolean): Route {
  const four = isIPv4(original)
  const same = addresses.filter((address) => isIPv4(address) === four && address !== original)
  const other = addresses.filter((address) => isIPv4(address) !== four)
  const first = belongs ? [original] : []
  return { addresses: [...first, ...same, ...other].slice(0, MAX_TRIED), mismatch: !belongs }
}
