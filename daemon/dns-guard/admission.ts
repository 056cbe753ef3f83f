/**
 * Whom the guard answers: what this machine's own programs and the containers on its bridges sent, by the device that
 * it came in by. The fence keeps others off the port; this keeps the guard from being anybody's resolver without it.
 */
import { networkInterfaces } from 'node:os'

const FRESH_MS = 2000
const MAX_KNOWN = 4096

export interface Devices {
  /** Name of a device by its index. */
  name(index: number): string | undefined
  /** Device of one of this machine's own addresses. */
  holding(address: string): string | undefined
}

export class Admission {
  readonly #devices: Devices
  readonly #bridges: ReadonlySet<string>
  readonly #prefixes: readonly string[]
  readonly #byIndex = new Map<number, { readonly admitted: boolean; readonly until: number }>()

  /** @param bridges names of devices; a final `*` stands for any ending */
  constructor(bridges: readonly string[], devices: Devices) {
    this.#devices = devices
    this.#bridges = new Set(bridges)
    this.#prefixes = bridges.filter((name) => name.endsWith('*')).map((name) => name.slice(0, -1))
  }

  /** A datagram came by the device of that index. */
  byDevice(index: number): boolean {
    const time = performance.now()
    const known = this.#byIndex.get(index)
    if (known && known.until > time) return known.admitted
    const name = this.#devices.name(index)
    const admitted = name !== undefined && this.#admits(name)
    if (this.#byIndex.size >= MAX_KNOWN) this.#byIndex.clear()
    this.#byIndex.set(index, { admitted, until: time + FRESH_MS })
    return admitted
  }

  /** A connection was made to this address of the machine. */
  byAddress(local: string): boolean {
    if (local === '::1' || local.startsWith('127.')) return true
    const name = this.#devices.holding(local)
    return name !== undefined && this.#admits(name)
  }

  #admits(name: string): boolean {
    if (name === 'lo' || this.#bridges.has(name)) return true
    return this.#prefixes.some((prefix) => name.startsWith(prefix))
  }
}

/** The devices of this network namespace. @param name gives a device's name by its index */
export function machineDevices(name: (index: number) => string | undefined): Devices {
  let holders = new Map<string, string>()
  let until = Number.NEGATIVE_INFINITY
  return {
    name,
    holding(address) {
      const time = performance.now()
      if (time >= until) {
        until = time + FRESH_MS
        holders = new Map(
          Object.entries(networkInterfaces()).flatMap(([device, held]) =>
            (held ?? []).map((each) => [each.address, device] as const),
          ),
        )
      }
      return holders.get(address)
    },
  }
}
