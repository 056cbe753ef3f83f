/**
 * What providers' certificates are verified against: the system's roots less our own, in one context built once
 * (building one blocks for milliseconds). A name of the configuration may have one root more, for itself only.
 */
import { createSecureContext, type SecureContext } from 'node:tls'

export class UpstreamTrust {
  readonly #roots: readonly string[]
  #extra: ReadonlyMap<string, string>
  readonly #contexts = new Map<string, SecureContext>()
  readonly #common: SecureContext

  /** @param roots PEM; an empty list trusts nothing  @param extra name to the PEM trusted for it alone */
  constructor(roots: readonly string[], extra: ReadonlyMap<string, string>) {
    this.#roots = roots
    this.#extra = extra
    this.#common = context(roots)
  }

  setExtra(extra: ReadonlyMap<string, string>): void {
    this.#extra = extra
    this.#contexts.clear()
  }

  contextFor(name: string): SecureContext {
    const root = this.#extra.get(name)
    if (root === undefined) return this.#common
    let found = this.#contexts.get(root)
    if (!found) {
      found = context([...this.#roots, root])
      this.#contexts.set(root, found)
    }
    return found
  }
}

const context = (roots: readonly string[]) => createSecureContext({ ca: [...roots], minVersion: 'TLSv1.2' })
