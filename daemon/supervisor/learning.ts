/** Providers' addresses on their way: into the book, to the children, and into the kernel's sets. */
import { steadyNow } from '../base/steady-clock.ts'
import type { AddressBook, Sighted } from './address-book.ts'
import type { Enforcer } from './enforcer.ts'
import type { Running } from './running.ts'

/** How long the first look-up of the catalogue may hold up the start: without DNS there is nothing to learn. */
const FIRST_RESOLUTION_MS = 5000

/** What it gives resolves when the kernel knows the addresses. */
export const addressLearner =
  (parts: {
    readonly book: AddressBook
    readonly enforcement: Pick<Enforcer, 'addressesHeld' | 'addressesChanged'>
    readonly running: Pick<Running, 'proxies' | 'sight'>
  }) =>
  async (entries: readonly Sighted[]): Promise<void> => {
    const { book, enforcement, running } = parts
    // Known already, but perhaps still on its way into the kernel's sets.
    if (!book.learn(entries, steadyNow())) return enforcement.addressesHeld()
    const addresses = [...book.addresses4, ...book.addresses6]
    running.proxies?.addresses(addresses)
    running.sight?.child.send({ type: 'addresses', addresses })
    await enforcement.addressesChanged()
  }

/** Waits until each of these has come or failed, but not longer than a start may take. */
export async function firstLookUp(...parts: readonly Promise<unknown>[]): Promise<void> {
  await Promise.race([
    Promise.allSettled(parts),
    new Promise((resolve) => setTimeout(resolve, FIRST_RESOLUTION_MS).unref()),
  ])
}
