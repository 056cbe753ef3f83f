/** The wrapping key in the macOS Keychain of the account that runs the gateway (root: the system keychain). */
import { randomBytes } from 'node:crypto'
import { messageOf } from '../base/errors.ts'
import { WRAPPING_KEY_BYTES } from './keyed-vault.ts'
import { VaultError } from './vault-error.ts'
import type { WrappingKeyProvider } from './wrapping-key.ts'

/** What is used of an entry of `@napi-rs/keyring`. */
export interface KeychainEntry {
  /** Null or undefined where there is none. */
  getSecret(): readonly number[] | null
  setSecret(secret: Uint8Array): void
}

const SERVICE = 'Agent Anchor Gateway'

/**
 * @param account names the entry: one for each state directory
 * @param open makes the entry; for tests
 */
export function keychainProvider(
  account: string,
  {
    platform = process.platform as string,
    open = systemEntry,
  }: { platform?: string; open?: (service: string, account: string) => Promise<KeychainEntry> } = {},
): WrappingKeyProvider {
  const place = `the Keychain's entry "${SERVICE}" for ${account}`
  const using = async <T>(use: (entry: KeychainEntry) => T): Promise<T> => {
    try {
      return use(await open(SERVICE, account))
    } catch (error) {
      if (error instanceof VaultError) throw error
      throw new VaultError(
        'keychain-failed',
        `${place} can't be used: ${messageOf(error)}`,
        'Unlock the Keychain, and allow the gateway to use the entry.',
      )
    }
  }
  const read = () => using((entry) => entry.getSecret() ?? undefined)
  return {
    name: 'keychain',
    place,
    describe: async () => 'keychain',
    unavailable: async () => (platform === 'darwin' ? undefined : 'only macOS has a Keychain'),
    async open() {
      const found = await read()
      if (found === undefined) return undefined
      if (found.length === WRAPPING_KEY_BYTES) return Buffer.from(found)
      throw new VaultError(
        'wrapping-key-damaged',
        `${place} is not ${WRAPPING_KEY_BYTES} bytes`,
        'Restore the entry from a backup of the Keychain.',
      )
    },
    async create() {
      if ((await read()) !== undefined) {
        throw new VaultError(
          'already-sealed',
          `${place} exists already and is not overwritten`,
          'If nothing is sealed under its key any more, remove the entry first.',
        )
      }
      const key = randomBytes(WRAPPING_KEY_BYTES)
      await using((entry) => entry.setSecret(key))
      return key
    },
  }
}

async function systemEntry(service: string, account: string): Promise<KeychainEntry> {
  const { Entry } = await import('@napi-rs/keyring')
  return new Entry(service, account)
}
