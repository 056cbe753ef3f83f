/** The addresses of this machine's interfaces, looked up again when they may have changed. */
import { networkInterfaces } from 'node:os'
import { canonicalAddress } from './addresses.ts'

const CHECK_MS = 1000

export class OwnAddresses {
  readonly #list: () => readonly string[]
  readonly #clock: () => number
  #known = new Set<string>()
  #checked = Number.NEGATIVE_INFINITY

  /** @param list textual addresses, in any form */
  constructor(list: () => readonly string[] = ofInterfaces, clock: () => number = () => performance.now()) {
    this.#list = list
    this.#clock = clock
  }

  /** @param address canonical */
  has(address: string): boolean {
    const time = this.#clock()
    if (time - this.#checked >= CHECK_MS) {
      this.#checked = time
      this.#known = new Set(this.#list().flatMap((one) => canonicalAddress(one) ?? []))
    }
    return this.#known.has(address)
  }
}

const ofInterfaces = (): string[] =>
  Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address))
