/** What makes this gateway this gateway: its CA, its keys, its log's name. Opened once at start. */
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { type Catalogue, permittedDomains } from '../../policies/catalogue.ts'
import type { Config } from '../config/config.ts'
import { formatVerifierKey } from '../ledger/note.ts'
import { hostKeyVault } from '../vault/host-key.ts'
import { type Keys, loadOrCreateKeys } from '../vault/keys.ts'
import { publishVerifierKey } from '../vault/verifier-key.ts'
import { makeAuthority, openAuthority, outgrown, type StoredAuthority } from './authority-store.ts'
import type { Layout } from './layout.ts'

export interface Identity {
  readonly vaultLevel: string
  readonly authority: StoredAuthority
  /** Domains of the catalogue that this CA may not speak for; a new install makes one that may. */
  readonly outgrown: readonly string[]
  readonly keys: Keys
  readonly logSeed: Buffer
  /** C2SP origin of the log; fixed at first start, since it is part of every checkpoint. */
  readonly origin: string
  readonly verifierKey: string
}

/**
 * @param renewAuthority make a new CA where the catalogue has outgrown the one that is there: only for who
 * installs it into the trust stores too
 */
export async function openIdentity(
  config: Config,
  paths: Layout,
  catalogue: Catalogue,
  { renewAuthority = false } = {},
): Promise<Identity> {
  const vault = await hostKeyVault(config.vault.hostKeyFile)
  const domains = permittedDomains(catalogue)
  let authority = await openAuthority(paths, vault, domains, new Date())
  let uncovered = outgrown(authority, domains)
  if (renewAuthority && uncovered.length > 0) {
    authority = await makeAuthority(paths, vault, domains, new Date())
    uncovered = []
  }
  const keys = await loadOrCreateKeys(vault, paths.keysDirectory)
  const stored = await readFile(paths.verifierKey, 'utf8').catch(() => undefined)
  const origin = stored?.split('+')[0] ?? config.ledger.origin ?? defaultOrigin()
  const verifierKey = formatVerifierKey(origin, keys.log.publicKey)
  await publishVerifierKey(paths.keysDirectory, verifierKey)
  return {
    vaultLevel: vault.level,
    authority,
    outgrown: uncovered,
    keys,
    logSeed: keys.log.privateKey,
    origin,
    verifierKey,
  }
}

/** RFC 2606 reserves .invalid: the name says which machine, and claims no domain. */
const defaultOrigin = (): string =>
  `agent-anchor.invalid/${hostname()
    .toLowerCase()
    .replace(/[^a-z0-9.-]/g, '-')}`
