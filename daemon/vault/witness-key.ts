/** The key by which this gateway cosigns other logs: made when that is first asked for, and never replaced. */
import { randomBytes } from 'node:crypto'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import type { Ownership } from './key-file.ts'
import { openSealed, sealTo } from './sealed-file.ts'
import type { Vault } from './vault.ts'
import { VaultError } from './vault-error.ts'
import { WITNESS_VERIFIER_KEY_FILE } from './verifier-key.ts'

const PURPOSE = 'witness-key'
const KEY_BYTES = 32

const sealedFile = (dir: string) => join(dir, 'witness.sealed')

/**
 * The Ed25519 seed, for programs that only look; undefined where there is none.
 * @throws VaultError `secret-invalid`; what `openSealed` throws
 */
export async function readWitnessKey(
  vault: Vault,
  dir: string,
  ownership?: Ownership,
): Promise<Buffer | undefined> {
  const file = sealedFile(dir)
  const found = await openSealed(vault, file, PURPOSE, ownership)
  if (found === undefined || found.length === KEY_BYTES) return found
  found.fill(0)
  throw new VaultError(
    'secret-invalid',
    `${file} holds a key of the wrong shape`,
    'Restore the sealed file from a backup made with the same host key.',
  )
}

/**
 * The Ed25519 seed, made if it never was.
 * @throws VaultError `keys-incomplete` where it is gone while its verifier key is published; what
 *   {@link readWitnessKey} throws
 */
export async function openWitnessKey(vault: Vault, dir: string, ownership?: Ownership): Promise<Buffer> {
  const found = await readWitnessKey(vault, dir, ownership)
  if (found !== undefined) return found
  const file = sealedFile(dir)
  const published = join(dir, WITNESS_VERIFIER_KEY_FILE)
  if (
    await access(published).then(
      () => true,
      () => false,
    )
  ) {
    throw new VaultError(
      'keys-incomplete',
      `${file} is missing, but ${published} says that there was one`,
      `Restore it from a backup. To be another witness instead, move ${published} and the witness directory away.`,
    )
  }
  const made = randomBytes(KEY_BYTES)
  await sealTo(vault, file, PURPOSE, made)
  return made
}
