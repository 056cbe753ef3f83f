/**
 * Which names' addresses are a provider's: those that the catalogue governs, what they are aliases of, and the targets
 * of their service bindings, which clients look up by themselves and then dial under the governed name.
 */
import { type Catalogue, matchHost } from '../../policies/catalogue.ts'

const MAX_TARGETS = 4096
/** A client may hold a service binding for its TTL and use its target then. */
const REMEMBERED_MS = 24 * 3600_000

export class GovernedNames {
  #catalogue: Catalogue
  readonly #targets = new Map<string, { readonly name: string; readonly until: number }>()

  constructor(catalogue: Catalogue) {
    this.#catalogue = catalogue
  }

  setCatalogue(catalogue: Catalogue): void {
    this.#catalogue = catalogue
  }

  /** The governed name behind this one, or itself; `undefined` for names that are nobody's. */
  of(name: string): string | undefined {
    if (matchHost(this.#catalogue, name)) return name
    const target = this.#targets.get(name)
    if (target === undefined) return undefined
    if (target.until > performance.now()) return target.name
    this.#targets.delete(name)
    return undefined
  }

  /** Service bindings of governed `name` send clients there. */
  remember(targets: readonly string[], name: string): void {
    const until = performance.now() + REMEMBERED_MS
    for (const target of targets) {
      if (matchHost(this.#catalogue, target)) continue
      this.#targets.delete(target)
      if (this.#targets.size >= MAX_TARGETS) this.#targets.delete(this.#targets.keys().next().value as string)
      this.#targets.set(target, { name, until })
    }
  }
}
