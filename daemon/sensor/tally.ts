/**
 * Counts what is seen by what it is, and tells it in few words: the first of a kind at once, the rest as counts every
 * ten seconds and at the end. The counts told add up to what was seen, exactly and always.
 *
 * Threat model: whoever sends chooses destinations and names, so the number of kinds is bounded for each user and
 * altogether; past the bounds they are counted together, by rule, protocol and user, then by rule alone. Who has no user
 * (containers, guests) is told apart by the address, which can be forged: only so many addresses have bounds of their own.
 */
import type { Endpoint } from '../../firewall/ip-address.ts'

export interface Observed {
  /** `refused`: did not leave the machine. `leak`: left it past the proxy. */
  readonly kind: 'refused' | 'leak'
  readonly rule: string
  /** Lower case: `tcp`, `udp`, `quic`, `icmp`, `ip-47` … */
  readonly protocol: string
  readonly uid?: number
  readonly gid?: number
  readonly client?: Endpoint
  /** Port 0 where the protocol has none. */
  readonly destination: Endpoint
  readonly serverName?: string
  /** `kernel`, or the device that it left by. */
  readonly via: string
}

export interface Sighting extends Observed {
  readonly count: number
  /** Milliseconds since the epoch. */
  readonly from: number
  readonly to: number
  /** True where several destinations are counted together; `destination` is then the unspecified address. */
  readonly together: boolean
}

interface Counted {
  observed: Observed
  readonly together: boolean
  /** Since it was new. */
  seen: number
  /** Since it was last told. */
  count: number
  from: number
  to: number
}

const FLUSH_MS = 10_000
/** A kind that is not seen for so long is told as a new one. */
const FORGOTTEN_MS = 60_000
const MOST_KINDS = 4096
const MOST_TOGETHER = 1024
/** Kinds that one user may have told apart at once, and how many more in each second. */
const KINDS_AT_ONCE = 32
const KINDS_A_SECOND = 4
const FULL_AGAIN_MS = (KINDS_AT_ONCE / KINDS_A_SECOND) * 1000
const MOST_USERS = 1024
/** With their kinds at once, half of all kinds. */
const MOST_STRANGERS = 64
/** Packets of a kind that are looked into for a name: a ClientHello may come in several. */
const LOOKED_INTO = 4

interface Allowance {
  readonly left: number
  readonly at: number
}

export class Tally {
  readonly #tell: (sighting: Sighting) => void
  readonly #kinds = new Map<string, Counted>()
  readonly #together = new Map<string, Counted>()
  readonly #users = new Map<string, Allowance>()
  readonly #strangers = new Map<string, Allowance>()
  #flushed: number

  constructor(tell: (sighting: Sighting) => void, now: number) {
    this.#tell = tell
    this.#flushed = now
  }

  see(observed: Observed, now: number): void {
    const key = kindOf(observed)
    const known = this.#kinds.get(key)
    if (known) count(known, observed, now)
    else if (this.#kinds.size < MOST_KINDS && this.#mayTell(observed, now)) {
      this.#tell({ ...observed, count: 1, from: now, to: now, together: false })
      this.#kinds.set(key, {
        observed: ofKind(observed),
        together: false,
        seen: 1,
        count: 0,
        from: now,
        to: now,
      })
    } else count(this.#togetherWith(observed, now), observed, now)
  }

  /** Whether a name would still help: looking into a packet is dearer than counting it. */
  wantsName(observed: Observed): boolean {
    const known = this.#kinds.get(kindOf(observed))
    return !known || (known.observed.serverName === undefined && known.seen < LOOKED_INTO)
  }

  /** Tells what is due; `true`: everything. */
  flush(now: number, everything = false): void {
    if (!everything && now - this.#flushed < FLUSH_MS && now >= this.#flushed) return
    this.#flushed = now
    for (const kinds of [this.#kinds, this.#together]) {
      for (const [key, counted] of kinds) {
        const { observed, together, from, to } = counted
        if (counted.count > 0) {
          this.#tell({ ...observed, count: counted.count, from, to, together })
          counted.count = 0
        } else if (now - to >= FORGOTTEN_MS || now < to) kinds.delete(key)
      }
    }
    for (const allowances of [this.#users, this.#strangers]) {
      for (const [whose, { at }] of allowances) {
        if (now - at >= FULL_AGAIN_MS) allowances.delete(whose)
      }
    }
  }

  #togetherWith(observed: Observed, now: number): Counted {
    const { kind, rule, protocol, via, uid, gid } = observed
    const address = observed.destination.address.includes(':') ? '::' : '0.0.0.0'
    const base = { kind, rule, destination: { address, port: 0 } }
    const who = { ...(uid === undefined ? {} : { uid }), ...(gid === undefined ? {} : { gid }) }
    const key = `${kind} ${rule} ${protocol} ${uid ?? '-'} ${via} ${address}`
    const known = this.#together.get(key)
    if (known) return known
    if (this.#together.size < MOST_TOGETHER)
      return this.#addTogether(key, { ...base, protocol, via, ...who }, now)
    const last = `${kind} ${rule} ${address}`
    return this.#together.get(last) ?? this.#addTogether(last, { ...base, protocol: 'any', via: 'any' }, now)
  }

  #addTogether(key: string, observed: Observed, now: number): Counted {
    const made = { observed, together: true, seen: 0, count: 0, from: now, to: now }
    this.#together.set(key, made)
    return made
  }

  /** A bucket for each user and for each address without one; those beyond the bounds share one. */
  #mayTell({ uid, client }: Observed, now: number): boolean {
    const allowances = uid === undefined ? this.#strangers : this.#users
    const most = uid === undefined ? MOST_STRANGERS : MOST_USERS
    const whose = `${uid ?? client?.address}`
    const key = allowances.has(whose) || allowances.size < most ? whose : 'others'
    const { left, at } = allowances.get(key) ?? { left: KINDS_AT_ONCE, at: now }
    const grown = Math.min(KINDS_AT_ONCE, left + (Math.max(0, now - at) / 1000) * KINDS_A_SECOND)
    allowances.set(key, { left: grown >= 1 ? grown - 1 : grown, at: now })
    return grown >= 1
  }
}

/** The client's port is the first one's alone, and so is its address, where there is a user to go by. */
function ofKind({ client, ...rest }: Observed): Observed {
  if (rest.uid !== undefined || client === undefined) return rest
  return { ...rest, client: { address: client.address, port: 0 } }
}

function count(counted: Counted, { serverName }: Observed, now: number): void {
  if (counted.count === 0) counted.from = now
  counted.count += 1
  counted.seen += 1
  counted.to = now
  if (serverName !== undefined && !counted.together && counted.observed.serverName === undefined)
    counted.observed = { ...counted.observed, serverName }
}

/** What was refused is the same with or without the name that it would have carried; a leak is that name's. */
function kindOf({ kind, rule, protocol, uid, client, destination, via, serverName }: Observed): string {
  const who = uid ?? `at ${client?.address}`
  const where = `${destination.address} ${destination.port} ${via}`
  return `${kind} ${rule} ${protocol} ${who} ${where} ${kind === 'leak' ? serverName : ''}`
}
