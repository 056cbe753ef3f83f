/** Public verifier keys beside the sealed keys, of the log and the witness: what auditors and the CLI verify with. */
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { makeDirectory, writeFileAtomic } from '../base/durable/files.ts'
import { messageOf } from '../base/errors.ts'
import { createKeyFile } from './key-file.ts'
import { VaultError } from './vault-error.ts'

export const VERIFIER_KEY_FILE = 'log.vkey'
export const WITNESS_VERIFIER_KEY_FILE = 'witness.vkey'

/** Puts the key that a rotation brought in the place of the one that ended. */
export function replaceVerifierKey(dir: string, text: string): Promise<void> {
  return writeFileAtomic(join(dir, VERIFIER_KEY_FILE), Buffer.from(`${text}\n`), { mode: 0o644 })
}

/**
 * Writes `text` (a C2SP verifier key) to a file in `dir` (0644), or makes sure that it stands there.
 * @throws VaultError `verifier-key-differs`: the key or its name has changed
 */
export async function publishVerifierKey(dir: string, text: string, name = VERIFIER_KEY_FILE): Promise<void> {
  const file = join(dir, name)
  const wanted = Buffer.from(`${text.trimEnd()}\n`)
  await makeDirectory(dirname(file), { mode: 0o711 })
  if (await createKeyFile(file, wanted, 0o644)) return
  const present = await readFile(file).catch((cause: unknown) => {
    throw new VaultError(
      'file-unreadable',
      `${file} can't be read: ${messageOf(cause)}`,
      'Run as root, and check the file system for errors.',
      cause,
    )
  })
  if (present.equals(wanted)) return
  throw new VaultError(
    'verifier-key-differs',
    `${file} names another key than the one in use`,
    `Restore ${file.replace(/vkey$/, 'sealed')} and the name in the configuration to what they were. Verifiers know the old key.`,
  )
}
