/**
 * Where the wrapping key comes from: 32 bytes under which the gateway's keys are sealed. A provider gives it and
 * makes it; what it keeps on disk opens without that provider to nobody.
 */
import { join } from 'node:path'
import { createKeyFile, type Ownership, readKeyFile } from './key-file.ts'
import { VaultError } from './vault-error.ts'

export const PROVIDERS = ['systemd-creds', 'pkcs11', 'keychain', 'passphrase', 'host-key'] as const
export type ProviderName = (typeof PROVIDERS)[number]

export interface WrappingKeyProvider {
  readonly name: ProviderName
  /** Where its key, or what opens to it, is kept: for messages. */
  readonly place: string
  /** What protects the keys, as `status` names it, such as "systemd-creds (TPM2)". */
  describe(): Promise<string>
  /** Why this machine can't have it; undefined where it can. */
  unavailable(): Promise<string | undefined>
  /** The key, the caller's to wipe; undefined where none was made yet. @throws VaultError */
  open(): Promise<Buffer | undefined>
  /** Makes a key where there is none, keeps it, and gives it. @throws VaultError */
  create(): Promise<Buffer>
}

const FORMAT = 'agent-anchor-wrapping/1'
const MAX_FILE_BYTES = 64 * 1024

export const wrappingFile = (keysDirectory: string, provider: ProviderName): string =>
  join(keysDirectory, `wrapping.${provider}`)

/** Keeps a wrapped key as one JSON object, whole or not at all. @throws VaultError `already-sealed` */
export async function writeWrapped(file: string, provider: ProviderName, fields: object): Promise<void> {
  const text = `${JSON.stringify({ format: FORMAT, provider, ...fields }, undefined, 2)}\n`
  await keepWrapped(file, Buffer.from(text))
}

/** @throws VaultError `already-sealed` */
export async function keepWrapped(file: string, bytes: Buffer): Promise<void> {
  if (await createKeyFile(file, bytes, 0o600)) return
  throw new VaultError(
    'already-sealed',
    `${file} exists already and is not overwritten`,
    'If nothing is sealed under its key any more, move the file away first.',
  )
}

/** The fields of a wrapped key; undefined where there is no such file. @throws VaultError `wrapping-key-damaged` */
export async function readWrapped(
  file: string,
  ownership: Ownership,
): Promise<Record<string, unknown> | undefined> {
  const bytes = await readKeyFile(file, { ...ownership, maxBytes: MAX_FILE_BYTES })
  if (bytes === undefined) return undefined
  let fields: unknown
  try {
    fields = JSON.parse(bytes.toString('utf8'))
  } catch {
    throw wrappedDamaged(file)
  }
  if (typeof fields !== 'object' || fields === null || !('format' in fields) || fields.format !== FORMAT)
    throw wrappedDamaged(file)
  return fields as Record<string, unknown>
}

export const wrappedDamaged = (file: string): VaultError =>
  new VaultError(
    'wrapping-key-damaged',
    `${file} was changed or damaged`,
    'Restore it from a backup: without it the sealed keys of this state directory cannot be opened.',
  )
