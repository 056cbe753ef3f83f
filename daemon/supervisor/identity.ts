/** What makes this gateway this gateway: its CA, its keys, its log's name. Opened once at start. */
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import type { Rules } from '../../policies/policy.ts'
import type { Config } from '../config/config.ts'
import { cosigner } from '../ledger/cosignature.ts'
import { formatVerifierKey } from '../ledger/note.ts'
import { type GatewayKeys, openGatewayKeys } from '../vault/gateway-keys.ts'
import { openVault } from '../vault/open-vault.ts'
import { refuseKeysInDirectory } from '../vault/plaintext.ts'
import type { SecretSource } from '../vault/secret-source.ts'
import type { Vault } from '../vault/vault.ts'
import { publishVerifierKey, WITNESS_VERIFIER_KEY_FILE } from '../vault/verifier-key.ts'
import { openWitnessKey } from '../vault/witness-key.ts'
import type { AuthoritySource } from './authority/keeper.ts'
import { governedDomains } from './authority/misfit.ts'
import { renewAuthority, stepRecorded, takeStep } from './authority/rotation.ts'
import { type AuthorityPlace, openAuthorities } from './authority/store.ts'
import type { Layout } from './layout.ts'
import { SupervisorError } from './supervisor-error.ts'
import { vaultPlace } from './vault-place.ts'

export interface Identity {
  readonly vaultLevel: string
  /** The CA, and its successor where there is one. */
  readonly authority: AuthoritySource
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
 * @param renew make a successor for a CA that doesn't fit the policy, or ends soon: only for who puts it into the trust
 * stores too
 */
export async function openIdentity(
  config: Config,
  paths: Layout,
  rules: Pick<Rules, 'policy' | 'catalogue'>,
  { renew = false, secrets }: { renew?: boolean; secrets?: SecretSource | undefined } = {},
): Promise<Identity> {
  await refuseKeysInDirectory(paths.keysDirectory)
  const vault = await openVault(vaultPlace(config, paths, secrets), { make: true })
  const stored = await readFile(paths.verifierKey, 'utf8').catch(() => undefined)
  const origin = stored?.split('+')[0] ?? config.ledger.origin ?? defaultOrigin()
  if (config.ledger.origin !== undefined && config.ledger.origin !== origin) {
    throw new SupervisorError(
      'ORIGIN_FIXED',
      `ledger.origin is ${config.ledger.origin}, but the log in ${paths.ledger} is ${origin} for ever`,
      'Set it back; for a new log give the gateway a new stateDir and keep the old one as evidence.',
    )
  }
  const place = authorityPlace(paths, vault, origin)
  const wish = () => ({ permittedDomains: governedDomains(rules), now: new Date() })
  const found = await openAuthorities(place, wish())
  const current = renew ? await renewAuthority(place, wish(), { always: false }) : found
  const authority: AuthoritySource = {
    found: current,
    reopen: () => openAuthorities(place, wish()),
    distributed: async () =>
      current.rotation?.step === 'introduced' ? takeStep(place, 'distributed', new Date()) : current,
    switch: () => takeStep(place, 'signing', new Date()),
    recorded: (id) => stepRecorded(place, id),
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
    gateway,
    reopen,
    origin,
    verifierKey,
    witnessSeed,
  }
}

/** Where the CA lies. @param origin of the log */
export const authorityPlace = (
  paths: Pick<Layout, 'keysDirectory' | 'caCertificate'>,
  vault: Vault,
  origin: string,
): AuthorityPlace => ({ vault, origin, dir: paths.keysDirectory, certificateFile: paths.caCertificate })

/** RFC 2606 reserves .invalid: the name says which machine, and claims no domain. */
const defaultOrigin = (): string =>
  `agent-anchor.invalid/${hostname()
    .toLowerCase()
    .replace(/[^a-z0-9.-]/g, '-')}`
