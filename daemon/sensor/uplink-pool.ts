/**
 * Which capture listens on which uplink. Captures are opened as root and once; uplinks come and go afterwards, and
 * a process without privileges may still bind a packet socket that it has to another device. So more are opened than
 * there are uplinks, and those that aren't needed are parked.
 *
 * A device is told by its index: one that was deleted and made anew under the same name is another, one that was
 * given another name is the same.
 */
import { messageOf } from '../base/errors.ts'
import type { Blindness } from './messages.ts'

/** A capture that can be bound to one device after the other. */
export interface Movable {
  /** @throws FirewallError where there is no such device (any more) */
  bind(index: number): void
  /** From now on it hands over nothing new, and costs nothing. */
  park(): void
}

interface Place<Capture> {
  readonly capture: Capture
  /** Of the device that it is bound to; undefined while it is parked. */
  index: number | undefined
  /** The last one's name, also for what was caught before it was parked and is read after. */
  device: string | undefined
  parkedAt: number
}

/** A parked capture must have been read to its end before frames of another device may come to it. */
const REST_MS = 500
/** The list of uplinks is told a little after a device went; one that stays on it and isn't there is not watched. */
const MISSED_MS = 1000

export class UplinkPool<Capture extends Movable> {
  readonly #places: Place<Capture>[] = []
  readonly #placeOf = new Map<Capture, Place<Capture>>()
  readonly #indexOf: (device: string) => number | undefined
  readonly #missing = new Map<string, number>()
  readonly #failed = new Map<string, string>()
  #wanted: readonly string[] = []
  #short = false

  /** @param indexOf index of a device, undefined where there is none of that name */
  constructor(indexOf: (device: string) => number | undefined) {
    this.#indexOf = indexOf
  }

  /** One that is parked. */
  add(capture: Capture): void {
    const place = { capture, index: undefined, device: undefined, parkedAt: Number.NEGATIVE_INFINITY }
    this.#places.push(place)
    this.#placeOf.set(capture, place)
  }

  /** An uplink had no capture to be watched by: only a process that is root again can open more. */
  get short(): boolean {
    return this.#short
  }

  /** Uplinks that a capture is bound to. */
  get devices(): string[] {
    return this.#places.flatMap(({ index, device }) => (index === undefined || !device ? [] : [device]))
  }

  /** By which device the frames left that this capture hands over; undefined where it never was bound. */
  deviceOf(capture: Capture): string | undefined {
    return this.#placeOf.get(capture)?.device
  }

  /** @param now milliseconds by a clock that only goes forward, as wherever a time is asked for */
  want(devices: readonly string[], now: number): void {
    this.#wanted = [...devices]
    this.look(now)
  }

  /** Puts each capture where it belongs as the devices are now: to be called several times a second. */
  look(now: number): void {
    this.#failed.clear()
    const found = this.#find(now)
    for (const place of this.#places) {
      if (place.index !== undefined && !found.has(place.index)) park(place, now)
    }
    this.#short = false
    for (const [index, device] of found) {
      const bound = this.#places.find((place) => place.index === index)
      if (bound) bound.device = device
      else this.#bind(index, device, now)
    }
  }

  /** Captures that something may be waiting in. */
  inUse(now: number): Capture[] {
    const used = this.#places.filter(
      ({ index, parkedAt }) => index !== undefined || now - parkedAt <= REST_MS,
    )
    return used.map(({ capture }) => capture)
  }

  blind(now: number): Blindness[] {
    const gone = [...this.#missing].filter(([, since]) => now - since >= MISSED_MS)
    return [
      ...gone.map(([device]) => ({ device, reason: 'the device is gone' })),
      ...[...this.#failed].map(([device, reason]) => ({ device, reason })),
    ]
  }

  /** The wanted devices that there are, by index. */
  #find(now: number): Map<number, string> {
    const found = new Map<number, string>()
    for (const device of this.#wanted) {
      const index = this.#indexOf(device)
      if (index === undefined) this.#missing.set(device, this.#missing.get(device) ?? now)
      else {
        this.#missing.delete(device)
        found.set(index, device)
      }
    }
    for (const device of this.#missing.keys()) {
      if (!this.#wanted.includes(device)) this.#missing.delete(device)
    }
    return found
  }

  #bind(index: number, device: string, now: number): void {
    const [free] = this.#places
      .filter((place) => place.index === undefined && now - place.parkedAt >= REST_MS)
      .sort((a, b) => a.parkedAt - b.parkedAt)
    if (!free) {
      this.#failed.set(device, 'no capture is left for it')
      this.#short = true
      return
    }
    try {
      free.capture.bind(index)
      free.index = index
      free.device = device
    } catch (error) {
      this.#failed.set(device, messageOf(error))
      park(free, now)
    }
  }
}

function park<Capture extends Movable>(place: Place<Capture>, now: number): void {
  place.capture.park()
  place.index = undefined
  place.parkedAt = now
}
