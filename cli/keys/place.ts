/** The keys as these commands reach them: beside a running gateway, or without one. */
import { readFile } from 'node:fs/promises'
import { keepMemoryPrivate } from '../../daemon/base/private-memory.ts'
import { type Config, loadConfig } from '../../daemon/config/config.ts'
import { type Layout, layout } from '../../daemon/supervisor/layout.ts'
import { vaultPlace } from '../../daemon/supervisor/vault-place.ts'
import { type OpenedVault, openVault, type VaultPlace } from '../../daemon/vault/open-vault.ts'
import { refuseKeysInDirectory, refuseKeysInEnvironment } from '../../daemon/vault/plaintext.ts'
import { NoEvidence, requireRoot } from '../cli-error.ts'
import type { GlobalOptions } from '../command.ts'
import { secretsOf } from '../secrets.ts'

export interface KeysPlace {
  readonly config: Config
  readonly paths: Layout
  /** Of the log. */
  readonly origin: string
  readonly place: VaultPlace
  vault(): Promise<OpenedVault>
}

/** @throws CliError NOT_ROOT, NO_EVIDENCE where no gateway has made keys; VaultError `plaintext-refused` */
export async function openKeysPlace(options: GlobalOptions, command: string): Promise<KeysPlace> {
  const config = loadConfig(options.config)
  requireRoot(command)
  refuseKeysInEnvironment(process.env)
  keepMemoryPrivate()
  const paths = layout(config)
  const verifierKey = await readFile(paths.verifierKey, 'utf8').catch(() => undefined)
  if (verifierKey === undefined) throw new NoEvidence(config.stateDir)
  await refuseKeysInDirectory(paths.keysDirectory)
  const place = vaultPlace(config, paths, secretsOf(options))
  return { config, paths, origin: verifierKey.split('+')[0] ?? '', place, vault: () => openVault(place) }
}
