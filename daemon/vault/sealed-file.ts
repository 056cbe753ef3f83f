/**
 * A sealed secret as a file: one JSON object that says in clear what the blob is and which kind of vault
 * opens it. Each file has exactly one valid form, so that a change anywhere is noticed, in the envelope too.
 */
import { dirname } from 'node:path'
import { makeDirectory, writeFileAtomic } from '../base/durable/files.ts'
import { createKeyFile, type Ownership, readKeyFile } from './key-file.ts'
import { assertPurpose, MAX_SECRET_BYTES, type Vault } from './vault.ts'
import { VaultError } from './vault-error.ts'

const FORMAT = 'agent-anchor-sealed/1'
/** Base64 of the largest blob, with room for the envelope and another vault's overhead. */
const MAX_FILE_BYTES = 2 * MAX_SECRET_BYTES
const ROOT: Ownership = { owner: 0 }

interface Envelope {
  readonly vault: string
  readonly purpose: string
  readonly blob: Buffer
}

/**
 * Seals `secret` into `file` (0600).
 * @param options `replace` for a new secret in place of an old one; else an existing file is an error
 * @throws VaultError `already-sealed`, and what `Vault.seal` throws
 */
export async function sealTo(
  vault: Vault,
  file: string,
  purpose: string,
  secret: Buffer,
  options: { replace?: boolean } = {},
): Promise<void> {
  const bytes = encodeEnvelope({ vault: vault.level, purpose, blob: await vault.seal(purpose, secret) })
  // 0711: the public verifier key beside the sealed files is readable by name.
  await makeDirectory(dirname(file), { mode: 0o711 })
  if (options.replace === true) return writeFileAtomic(file, bytes, { mode: 0o600 })
  if (await createKeyFile(file, bytes, 0o600)) return
  throw new VaultError(
    'already-sealed',
    `${file} exists already and is not overwritten`,
    'If its key is truly to be given up, move the file away first.',
  )
}

/**
 * The secret in `file`, or undefined if there is no such file.
 * @throws VaultError `file-insecure`, `file-unreadable`, `sealed-plaintext`, `sealed-damaged`,
 *   `sealed-elsewhere` (another kind of vault), `host-key-wrong`
 */
export async function openSealed(
  vault: Vault,
  file: string,
  purpose: string,
  ownership: Ownership = ROOT,
): Promise<Buffer | undefined> {
  assertPurpose(purpose)
  const bytes = await readKeyFile(file, { ...ownership, maxBytes: MAX_FILE_BYTES })
  if (bytes === undefined) return undefined
  const envelope = decodeEnvelope(file, bytes)
  if (envelope.purpose !== purpose) throw damaged(file, `it is not sealed as ${purpose}`)
  const opener = envelope.vault === vault.level ? vault : await vault.sibling?.(envelope.vault)
  if (opener !== undefined) return opener.open(purpose, envelope.blob)
  const sealer = JSON.stringify(envelope.vault.slice(0, 64))
  throw new VaultError(
    'sealed-elsewhere',
    `${file} was sealed by the vault ${sealer}, and this one is "${vault.level}"`,
    `Configure the vault ${sealer} again, or restore the file that this one sealed.`,
  )
}

/**
 * What sealed `file` and for what, which stays closed; undefined if there is no such file.
 * @throws VaultError `file-insecure`, `file-unreadable`, `sealed-plaintext`, `sealed-damaged`
 */
export async function envelopeOf(
  file: string,
  ownership: Ownership = ROOT,
): Promise<Pick<Envelope, 'vault' | 'purpose'> | undefined> {
  const bytes = await readKeyFile(file, { ...ownership, maxBytes: MAX_FILE_BYTES })
  return bytes && decodeEnvelope(file, bytes)
}

function encodeEnvelope({ vault, purpose, blob }: Envelope): Buffer {
  const object = { format: FORMAT, vault, purpose, blob: blob.toString('base64') }
  return Buffer.from(`${JSON.stringify(object, undefined, 2)}\n`)
}

function decodeEnvelope(file: string, bytes: Buffer): Envelope {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch {
    // No cause: a JSON parser quotes what it met, which may be a key in clear.
    throw plaintext(file)
  }
  if (!isEnvelope(value)) throw plaintext(file)
  const envelope = { vault: value.vault, purpose: value.purpose, blob: Buffer.from(value.blob, 'base64') }
  if (value.format !== FORMAT || !encodeEnvelope(envelope).equals(bytes)) {
    throw damaged(file, 'it is not in the form in which it was written')
  }
  return envelope
}

function isEnvelope(value: unknown): value is Record<'format' | 'vault' | 'purpose' | 'blob', string> {
  if (typeof value !== 'object' || value === null) return false
  const fields: Record<string, unknown> = { ...value }
  return ['format', 'vault', 'purpose', 'blob'].every((name) => typeof fields[name] === 'string')
}

function plaintext(file: string): VaultError {
  return new VaultError(
    'sealed-plaintext',
    `${file} is not a sealed file: it is damaged, or a key in clear, which is refused`,
    'Restore the sealed file from a backup. If a key lay there in clear, treat it as known to others.',
  )
}

function damaged(file: string, what: string): VaultError {
  return new VaultError(
    'sealed-damaged',
    `${file} was changed or damaged: ${what}`,
    'Restore the sealed file from a backup made with the same wrapping key.',
  )
}
