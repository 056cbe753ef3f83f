/** Leaves for the workers: signed here, where the CA key is; the leaf's private key never leaves its worker. */
import { issueLeaf } from '../../ca/authority.ts'
import type { StoredAuthority } from './authority-store.ts'

/** Says the chain (leaf, CA) in PEM for a name and a public key. Rejects with CaError for an ungoverned name. */
export type LeafService = (name: string, spki: Buffer) => Promise<string>

export const leafService =
  (authority: StoredAuthority): LeafService =>
  (name, publicKeySpki) =>
    issueLeaf(authority, { name, publicKeySpki, now: new Date() })
