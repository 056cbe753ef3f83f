/**
 * The gateway's keys but the CA's: made together at the first start, and from then on all there or an
 * error. A log that is signed by a new key, or bodies that no key opens, would be losses in silence: so
 * what is missing is never replaced.
 */
import { access, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectory, removeFile, writeFileAtomic } from '../base/durable/files.ts'
import { messageOf } from '../base/errors.ts'
import type { Ownership } from './key-file.ts'
import {
  ed25519PublicKey,
  isValid,
  KEY_NAMES,
  type KeyName,
  nextFile,
  purposeOf,
  randomKey,
  sealedFile,
} from './key-kinds.ts'
import { envelopeOf, openSealed, sealTo } from './sealed-file.ts'
import type { Vault } from './vault.ts'
import { VaultError } from './vault-error.ts'
import { VERIFIER_KEY_FILE } from './verifier-key.ts'

export interface Keys {
  /** Ed25519 (RFC 8032): the 32-byte seed and the public key it gives */
  readonly log: { readonly privateKey: Buffer; readonly publicKey: Buffer }
  /** secp256k1 scalar of the account that anchors, big-endian, 32 bytes */
  readonly gateway: Buffer
  /** 32 bytes: encrypts bodies */
  readonly body: Buffer
  /** 32 bytes: fingerprints of credentials */
  readonly fingerprint: Buffer
}

/**
 * Stands while the keys are being made. No key has been given out by then, so a start that finds it may
 * make those that a crash left out.
 */
const MAKING = 'being-made'

/**
 * The keys in `dir`, made if this is the first start.
 * @throws VaultError `keys-incomplete` if some are missing, or all while the log's verifier key is there;
 *   `secret-invalid` for one of the wrong shape; what `openSealed` throws
 */
export async function loadOrCreateKeys(
  vault: Vault,
  dir: string,
  ownership: Ownership = { owner: 0 },
): Promise<Keys> {
  const found = new Map<KeyName, Buffer>()
  try {
    for (const name of KEY_NAMES) {
      const secret = await openSealed(vault, sealedFile(dir, name), purposeOf(name), ownership)
      if (secret === undefined) continue
      found.set(name, secret)
      if (!isValid(name, secret)) throw invalid(sealedFile(dir, name))
    }
    await makeMissing(vault, dir, found)
    return keysOf(Object.fromEntries(found) as Record<KeyName, Buffer>)
  } catch (error) {
    for (const secret of found.values()) secret.fill(0)
    throw error
  }
}

/**
 * The body keys alone, one behind the other, for programs that only read bodies: nothing is made, nothing else is
 * unsealed.
 * @throws VaultError `keys-incomplete` if it isn't there; what `openSealed` throws
 */
export async function openBodyKey(
  vault: Vault,
  dir: string,
  ownership: Ownership = { owner: 0 },
): Promise<Buffer> {
  const files = [sealedFile(dir, 'body'), nextFile(dir, 'body'), ...(await formerBodyFiles(dir))]
  const secrets: Buffer[] = []
  for (const file of files) {
    const secret = await openSealed(vault, file, purposeOf('body'), ownership)
    if (secret === undefined) {
      if (file === files[0]) throw incomplete(dir, ['body'])
      continue
    }
    if (!isValid('body', secret)) throw invalid(file)
    secrets.push(secret)
  }
  return Buffer.concat(secrets)
}

const formerBodyFiles = async (dir: string): Promise<string[]> =>
  (await readdir(dir).catch(() => []))
    .filter((name) => /^body-[0-9a-f]{16}\.sealed$/.test(name))
    .map((name) => join(dir, name))

export interface KeyFault {
  readonly path: string
  readonly what: string
}

/**
 * Opens every key and closes it again, for programs that check what is stored: nothing is made.
 * @returns what is wrong, and the log's public key where its own could be opened
 */
export async function checkKeys(
  vault: Vault,
  dir: string,
  ownership: Ownership = { owner: 0 },
): Promise<{ faults: KeyFault[]; logPublicKey: Buffer | undefined }> {
  const faults: KeyFault[] = []
  let logPublicKey: Buffer | undefined
  for (const name of KEY_NAMES) {
    const path = sealedFile(dir, name)
    try {
      const secret = await openSealed(vault, path, purposeOf(name), ownership)
      if (secret === undefined) faults.push({ path, what: 'it is missing' })
      else if (!isValid(name, secret)) faults.push({ path, what: invalid(path).message })
      else if (name === 'log') logPublicKey = ed25519PublicKey(secret)
      secret?.fill(0)
    } catch (error) {
      faults.push({ path, what: messageOf(error) })
    }
  }
  for (const path of await otherKeyFiles(dir)) {
    try {
      const purpose = (await envelopeOf(path, ownership))?.purpose
      const secret = purpose === undefined ? undefined : await openSealed(vault, path, purpose, ownership)
      secret?.fill(0)
    } catch (error) {
      faults.push({ path, what: messageOf(error) })
    }
  }
  return { faults, logPublicKey }
}

/** Keys of rotations, under way and done: see rotation.ts. */
const otherKeyFiles = async (dir: string): Promise<string[]> =>
  (await readdir(dir).catch(() => []))
    .filter((name) => /^(?:[a-z]+\.next|body-[0-9a-f]{16}|owner)\.sealed$/.test(name))
    .map((name) => join(dir, name))

/** Overwrites all private keys; the object is of no use afterwards. */
export function wipeKeys(keys: Keys): void {
  for (const secret of [keys.log.privateKey, keys.gateway, keys.body, keys.fingerprint]) secret.fill(0)
}

async function makeMissing(vault: Vault, dir: string, found: Map<KeyName, Buffer>): Promise<void> {
  const marker = join(dir, MAKING)
  const making = await exists(marker)
  const missing = KEY_NAMES.filter((name) => !found.has(name))
  if (missing.length > 0) {
    const inUse = await exists(join(dir, VERIFIER_KEY_FILE))
    if (inUse || (found.size > 0 && !making)) throw incomplete(dir, missing)
    await makeDirectory(dir, { mode: 0o711 })
    await writeFileAtomic(marker, Buffer.from('The keys in this directory are being made.\n'), {
      mode: 0o600,
    })
    for (const name of missing) {
      const secret = randomKey(name)
      found.set(name, secret)
      await sealTo(vault, sealedFile(dir, name), purposeOf(name), secret)
    }
  }
  if (making || missing.length > 0) await removeFile(marker)
}

/** The keys from their secrets. */
export function keysOf({ log, ...others }: Readonly<Record<KeyName, Buffer>>): Keys {
  return { log: { privateKey: log, publicKey: ed25519PublicKey(log) }, ...others }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

function incomplete(dir: string, missing: readonly KeyName[]): VaultError {
  const files = missing.map((name) => `${name}.sealed`).join(', ')
  return new VaultError(
    'keys-incomplete',
    `${dir} lacks ${files}, which this gateway must have had before`,
    `Restore ${files} from a backup. To give up the old log instead, move the whole state directory away.`,
  )
}

function invalid(file: string): VaultError {
  return new VaultError(
    'secret-invalid',
    `${file} holds a key of the wrong shape`,
    'Restore the sealed file from a backup made with the same wrapping key.',
  )
}
