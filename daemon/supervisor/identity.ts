/** What makes this gateway this gateway: its CA, its keys, its log's name. Opened once at start. */
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { permittedDomains } from '../../policies/catalogue.ts'
import type { Rules } from '../../policies/policy.ts'
import type { Config } from '../config/config.ts'
import { cosigner } from '../ledger/cosignature.ts'
import { formatVerifierKey } from '../ledger/note.ts'
import { type GatewayKeys, openGatewayKeys } from '../vault/gateway-keys.ts'
import { openVault } from '../vault/open-vault.ts'
import { refuseKeysInDirectory } from '../vault/plaintext.ts'
import type { SecretSource } from '../vault/secret-source.ts'
import { publishVerifierKey, WITNESS_VERIFIER_KEY_FILE } from '../vault/verifier-key.ts'
import { openWitnessKey } from '../vault/witness-key.ts'
import { type Misfit, makeAuthority, misfit, openAuthority, type StoredAuthority } from './authority-store.ts'
import type { Layout } from './layout.ts'
import { SupervisorError } from './supervisor-error.ts'
import { vaultPlace } from './vault-place.ts'

export interface Identity {
  readonly vaultLevel: string
  readonly authority: StoredAuthority
  /** Where this CA doesn't fit the policy; a new install makes one that does. */
  readonly misfit: Misfit
  /** A new CA was made just now: a daemon that runs has the old one. */
  readonly renewed: boolean
  readonly gateway: GatewayKeys
  /** The keys again, with a rotation that was prepared since. */
  reopen(): Promise<GatewayKeys>
  /** C2SP origin of the log; fixed at first start, since it is part of every checkpoint. */
  readonly origin: string
  readonly verifierKey: string
  /** Seed of the key by which other logs are cosigned, where they are. */
  readonly witnessSeed: Buffer | undefined
}

/**
 * @param renewAuthority make a new CA where the one that is there doesn't fit: only for who installs it into the
 * trust stores too
 */
export async function openIdentity(
  config: Config,
  paths: Layout,
  { policy, catalogue }: Pick<Rules, 'policy' | 'catalogue'>,
  { renewAuthority = false, secrets }: { renewAuthority?: boolean; secrets?: SecretSource | undefined } = {},
): Promise<Identity> {
  await refuseKeysInDirectory(paths.keysDirectory)
  const vault = await openVault(vaultPlace(config, paths, secrets), { make: true })
  const domains = policy.proxy.unknownName === 'intercept' ? 'every' : permittedDomains(catalogue)
  let authority = await openAuthority(paths, vault, domains, new Date())
  const found = misfit(authority, domains, new Date())
  const renewed = renewAuthority && (found.outgrown.length > 0 || found.tooWide || found.ended)
  if (renewed) authority = await makeAuthority(paths, vault, domains, new Date())
  const stored = await readFile(paths.verifierKey, 'utf8').catch(() => undefined)
  const origin = stored?.split('+')[0] ?? config.ledger.origin ?? defaultOrigin()
  if (config.ledger.origin !== undefined && config.ledger.origin !== origin) {
    throw new SupervisorError(
      'ORIGIN_FIXED',
      `ledger.origin is ${config.ledger.origin}, but the log in ${paths.ledger} is ${origin} for ever`,
      'Set it back; for a new log give the gateway a new stateDir and keep the old one as evidence.',
    )
  }
  const reopen = () => openGatewayKeys({ vault, dir: paths.keysDirectory, origin })
  const gateway = await reopen()
  const verifierKey = formatVerifierKey(origin, gateway.keys.log.publicKey)
  // While a rotation is under way the old one stays published: it signs too.
  const published = gateway.predecessor?.logKey ? gateway.predecessor.verifierKey : verifierKey
  await publishVerifierKey(paths.keysDirectory, published)
  const { witness } = config.ledger
  const witnessSeed = witness && (await openWitnessKey(vault, paths.keysDirectory))
  if (witness && witnessSeed) {
    const { verifierKey: published } = cosigner(witness.name, witnessSeed)
    await publishVerifierKey(paths.keysDirectory, published, WITNESS_VERIFIER_KEY_FILE)
  }
  return {
    vaultLevel: vault.description,
    authority,
    misfit: renewed ? misfit(authority, domains, new Date()) : found,
    renewed,
    gateway,
    reopen,
    origin,
    verifierKey,
    witnessSeed,
  }
}

/** RFC 2606 reserves .invalid: the name says which machine, and claims no domain. */
const defaultOrigin = (): string =>
  `agent-anchor.invalid/${hostname()
    .toLowerCase()
    .replace(/[^a-z0-9.-]/g, '-')}`
