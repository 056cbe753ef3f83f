/**
 * Refused questions, counted by client and name: the first of a kind is reported at once, the others every ten seconds
 * as a number. Kinds are bounded: who asks for ever new names is counted by zone, then by rule alone, so that
 * counts stay exact whatever is thrown at us.
 */
import { zoneOf } from './carrier.ts'

export interface RefusedQuestion {
  readonly rule: string
  readonly reason: string
  readonly protocol: 'udp' | 'tcp'
  readonly client: { readonly address: string; readonly port: number }
  readonly name: string
}

/** `client` is that of the last one; absent, and `name` `*`, where many were counted together. */
export interface Sighting extends Omit<RefusedQuestion, 'client'> {
  readonly client?: RefusedQuestion['client']
  readonly count: number
  /** Milliseconds since the epoch. */
  readonly from: number
  readonly to: number
}

const EVERY_MS = 10_000
const MAX_NAMES = 256
const MAX_NAMES_OF_CLIENT = 32
const MAX_ZONES = 512

interface Count {
  last: Omit<Sighting, 'count' | 'from' | 'to'>
  readonly level: 'name' | 'zone' | 'rule'
  count: number
  from: number
  to: number
}

export class Sightings {
  readonly #report: (sighting: Sighting) => void
  readonly #counts = new Map<string, Count>()
  readonly #namesOf = new Map<string, number>()
  #names = 0
  #zones = 0
  readonly #timer: NodeJS.Timeout

  constructor(report: (sighting: Sighting) => void, everyMs = EVERY_MS) {
    this.#report = report
    this.#timer = setInterval(() => this.flush(), everyMs)
  }

  seen(question: RefusedQuestion): void {
    const { rule, client, protocol, name } = question
    const time = Date.now()
    const who = `${rule} ${protocol} ${client.address}`
    const exact = `name ${who} ${name}`
    const zone = `*.${zoneOf(name)}`
    const ofZone = `zone ${who} ${zone}`
    if (this.#counts.has(exact) || this.#hasRoom(client.address)) {
      this.#add(exact, 'name', question, time)
    } else if (this.#counts.has(ofZone) || this.#zones < MAX_ZONES) {
      this.#add(ofZone, 'zone', { ...question, name: zone }, time)
    } else {
      const { client: _, ...rest } = question
      this.#add(`rule ${rule} ${protocol}`, 'rule', { ...rest, name: '*' }, time)
    }
  }

  /** Reports what was counted since the last time, and forgets kinds of which there was none. */
  flush(): void {
    for (const [key, entry] of this.#counts) {
      if (entry.count > 0) this.#emit(entry)
      else this.#forget(key, entry)
    }
  }

  stop(): void {
    clearInterval(this.#timer)
    this.flush()
  }

  #hasRoom(client: string): boolean {
    return this.#names < MAX_NAMES && (this.#namesOf.get(client) ?? 0) < MAX_NAMES_OF_CLIENT
  }

  #add(key: string, level: Count['level'], last: Count['last'], time: number): void {
    const known = this.#counts.get(key)
    if (known) {
      if (known.count === 0) known.from = time
      known.last = last
      known.count += 1
      known.to = time
      return
    }
    const fresh: Count = { last, level, count: 1, from: time, to: time }
    this.#counts.set(key, fresh)
    if (level === 'zone') this.#zones += 1
    if (level === 'name' && last.client) {
      this.#names += 1
      this.#namesOf.set(last.client.address, (this.#namesOf.get(last.client.address) ?? 0) + 1)
    }
    this.#emit(fresh)
  }

  #emit(entry: Count): void {
    this.#report({ ...entry.last, count: entry.count, from: entry.from, to: entry.to })
    entry.count = 0
  }

  #forget(key: string, { level, last }: Count): void {
    this.#counts.delete(key)
    if (level === 'zone') this.#zones -= 1
    if (level !== 'name' || !last.client) return
    this.#names -= 1
    const left = (this.#namesOf.get(last.client.address) ?? 1) - 1
    if (left > 0) this.#namesOf.set(last.client.address, left)
    else this.#namesOf.delete(last.client.address)
  }
}
