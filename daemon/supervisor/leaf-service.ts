/** Leaves for the workers: signed here, where the CA key is; the leaf's private key never leaves its worker. */
import type { Authority } from '../../ca/authority.ts'
import { CaError } from '../../ca/ca-error.ts'
import { issueLeaf } from '../../ca/leaf.ts'

/** Says the chain (leaf, CA) in PEM for a name and a public key. Rejects with CaError for an ungoverned name. */
export type LeafService = (name: string, spki: Buffer) => Promise<string>

/**
 * @param authorities the first that may speak for the name, and is valid, signs: while the CA is being rotated, a domain
 * that only the successor may speak for works for those who know it already
 */
export const leafService =
  (authorities: readonly Authority[]): LeafService =>
  async (name, publicKeySpki) => {
    let refused: CaError | undefined
    for (const authority of authorities) {
      try {
        return await issueLeaf(authority, { name, publicKeySpki, now: new Date() })
      } catch (error) {
        if (!(error instanceof CaError) || !PASSES_ON.has(error.code)) throw error
        refused ??= error
      }
    }
    throw refused ?? new TypeError('a leaf service needs an authority')
  }

const PASSES_ON: ReadonlySet<string> = new Set(['name-outside-constraints', 'authority-not-valid-now'])
