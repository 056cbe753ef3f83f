/** Where this gateway's vault is, and where its passphrase or PIN comes from. */
import type { Config } from '../config/config.ts'
import type { VaultPlace } from '../vault/open-vault.ts'
import { type SecretSource, secretSource } from '../vault/secret-source.ts'
import type { Layout } from './layout.ts'
import { systemdRuns } from './service-manager.ts'

export function vaultPlace(config: Config, paths: Layout, secrets?: SecretSource): VaultPlace {
  // systemd's own interface to a unit (systemd.exec(5)), not a setting.
  const credentials = process.env.CREDENTIALS_DIRECTORY
  return {
    settings: config.vault,
    keysDirectory: paths.keysDirectory,
    secrets: secrets ?? secretSource({ credentials }),
    credentials,
    systemdRuns: systemdRuns(),
  }
}
