/**
 * The vault of this gateway. What seals the keys that are there decides; the configuration decides where there are
 * none yet. Where it names another provider than the one that seals them, nothing is opened: an administrator who
 * asked for a token must not run on a file without knowing.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { hostKeyMissing, hostKeyProvider, hostVault } from './host-key.ts'
import type { Ownership } from './key-file.ts'
import { keychainProvider } from './keychain.ts'
import { keyedVault } from './keyed-vault.ts'
import { passphraseProvider } from './passphrase.ts'
import { type Pkcs11Settings, pkcs11Provider } from './pkcs11.ts'
import { envelopeOf } from './sealed-file.ts'
import type { SecretSource } from './secret-source.ts'
import { systemdCredsProvider } from './systemd-creds.ts'
import type { Vault } from './vault.ts'
import { VaultError } from './vault-error.ts'
import { PROVIDERS, type ProviderName, type WrappingKeyProvider } from './wrapping-key.ts'

export interface VaultSettings {
  readonly provider: ProviderName | 'auto'
  readonly hostKeyFile: string
  readonly pkcs11?: Pkcs11Settings | undefined
}

export interface VaultPlace {
  readonly settings: VaultSettings
  readonly keysDirectory: string
  readonly secrets: SecretSource
  /** systemd's $CREDENTIALS_DIRECTORY; absent outside of a unit. */
  readonly credentials?: string | undefined
  readonly ownership?: Ownership
  /** Whether systemd is this machine's PID 1: without it nobody keeps its key. */
  readonly systemdRuns?: boolean
}

export interface OpenedVault extends Vault {
  /** Its level with what the provider says of itself: "systemd-creds (TPM2)". */
  readonly description: string
}

const ROOT: Ownership = { owner: 0 }

/**
 * @param make whether a wrapping key may be made, for the first start
 * @throws VaultError `provider-differs`, `provider-unavailable`, `wrapping-key-missing`, `host-key-missing`, and the
 *   provider's own
 */
export async function openVault(place: VaultPlace, { make = false } = {}): Promise<OpenedVault> {
  const { settings, keysDirectory, ownership = ROOT } = place
  const sealers = await levels(keysDirectory, ownership)
  const inForce = sealers[0]
  if (inForce === undefined) {
    const provider = await choose(place)
    const key = (await provider.open()) ?? (make ? await provider.create() : undefined)
    if (key === undefined) throw missing(provider)
    return opened(place, provider, key)
  }
  const wanted = settings.provider
  const other = sealers.find((level) => level !== wanted)
  if (wanted !== 'auto' && other !== undefined) {
    throw new VaultError(
      'provider-differs',
      `keys are sealed by ${other}, but the configuration says vault.provider: ${wanted}`,
      `Move them: agent-anchor keys rewrap --to ${wanted}. Or set vault.provider to what they are sealed by.`,
    )
  }
  return openLevel(place, inForce)
}

/** The vault of a provider, whatever the configuration says: for moving keys. Its wrapping key is made if need be. */
export async function openOrMake(place: VaultPlace, name: ProviderName): Promise<OpenedVault> {
  const provider = providerOf(place, name)
  const key = await provider.open()
  if (key !== undefined) return opened(place, provider, key)
  const why = await provider.unavailable()
  if (why !== undefined) throw unavailable(name, why)
  return opened(place, provider, await provider.create())
}

async function openLevel(place: VaultPlace, level: string): Promise<OpenedVault> {
  const name = PROVIDERS.find((each) => each === level)
  if (name === undefined) {
    throw new VaultError(
      'sealed-elsewhere',
      `keys are sealed by ${JSON.stringify(level.slice(0, 64))}, which this version doesn't know`,
      'Install the version that sealed them.',
    )
  }
  const provider = providerOf(place, name)
  const key = await provider.open()
  if (key === undefined) throw missing(provider)
  return opened(place, provider, key)
}

async function opened(place: VaultPlace, provider: WrappingKeyProvider, key: Buffer): Promise<OpenedVault> {
  const { name, place: kept } = provider
  const wrongKey = (purpose: string) =>
    new VaultError(
      'wrapping-key-wrong',
      `the sealed ${purpose} was sealed with another key than that of ${kept}`,
      `Restore the ${kept} that belongs to this state directory from a backup.`,
    )
  const vault = name === 'host-key' ? hostVault(kept, key) : keyedVault({ level: name, key, wrongKey })
  const siblings = new Map<string, Promise<Vault>>()
  return {
    ...vault,
    description: await provider.describe(),
    sibling(level) {
      const known = siblings.get(level) ?? openLevel(place, level)
      siblings.set(level, known)
      return known
    },
  }
}

/** The configured provider; with `auto` the first of the order that this machine has and that needs nobody at a start. */
async function choose(place: VaultPlace): Promise<WrappingKeyProvider> {
  const { settings, systemdRuns = false } = place
  if (settings.provider !== 'auto') {
    const provider = providerOf(place, settings.provider)
    const why = await provider.unavailable()
    if (why !== undefined) throw unavailable(settings.provider, why)
    return provider
  }
  const unattended = PROVIDERS.filter(
    (name) => name !== 'passphrase' && (name !== 'systemd-creds' || systemdRuns),
  )
  for (const name of unattended) {
    const provider = providerOf(place, name)
    if ((await provider.unavailable()) === undefined) return provider
  }
  return providerOf(place, 'host-key')
}

function providerOf(place: VaultPlace, name: ProviderName): WrappingKeyProvider {
  const { settings, keysDirectory, secrets, credentials, ownership = ROOT } = place
  switch (name) {
    case 'systemd-creds':
      return systemdCredsProvider({ keysDirectory, ownership, credentials })
    case 'pkcs11':
      return pkcs11Provider({ keysDirectory, settings: settings.pkcs11, secrets, ownership })
    case 'keychain':
      return keychainProvider(keysDirectory)
    case 'passphrase':
      return passphraseProvider({ keysDirectory, secrets, ownership })
    case 'host-key':
      return hostKeyProvider(settings.hostKeyFile, ownership)
  }
}

/** What sealed the files that are there: the log's key first, then the others, each level once. */
export async function levels(keysDirectory: string, ownership: Ownership): Promise<string[]> {
  const names = await readdir(keysDirectory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  const sealed = names.filter((name) => name.endsWith('.sealed')).sort()
  sealed.sort((a, b) => Number(b === 'log.sealed') - Number(a === 'log.sealed'))
  const found = new Set<string>()
  for (const name of sealed) {
    // A damaged one is named by whoever opens it.
    const envelope = await envelopeOf(join(keysDirectory, name), ownership).catch(() => undefined)
    if (envelope !== undefined) found.add(envelope.vault)
  }
  return [...found]
}

function missing(provider: WrappingKeyProvider): VaultError {
  if (provider.name === 'host-key') return hostKeyMissing(provider.place)
  return new VaultError(
    'wrapping-key-missing',
    `keys are sealed by ${provider.name}, but its key is not at ${provider.place}`,
    'Restore it from a backup: without it the sealed keys of this state directory cannot be opened.',
  )
}

const unavailable = (name: ProviderName, why: string): VaultError =>
  new VaultError(
    'provider-unavailable',
    `the vault's provider ${name} can't be used: ${why}`,
    'Set vault.provider in gateway.yaml to another one, or to auto.',
  )
