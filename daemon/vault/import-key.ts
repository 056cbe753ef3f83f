/**
 * Keys from elsewhere, in the encrypted forms that other programs write: PKCS#8 (`openssl genpkey -aes256`) for the
 * log, keystore v3 (geth, ethers, wallets) for the gateway's account. In clear they are refused.
 */
import { createPrivateKey } from 'node:crypto'
import type { KeyName } from './key-kinds.ts'
import type { SecretSource } from './secret-source.ts'
import { VaultError } from './vault-error.ts'

export const IMPORTABLE = ['log', 'gateway'] as const
export type Importable = (typeof IMPORTABLE)[number]

const MAX_FILE_BYTES = 64 * 1024
/** RFC 8410 §7: of the DER of an unencrypted key the seed is the end. */
const SEED_BYTES = 32

/**
 * @param secrets gives the passphrase of the file
 * @returns 32 bytes, the caller's to wipe
 * @throws VaultError `import-invalid`, `plaintext-refused`, `passphrase-wrong`, `secret-needed`
 */
export async function importedKey(
  name: Importable,
  file: { readonly name: string; readonly bytes: Buffer },
  secrets: SecretSource,
): Promise<Buffer> {
  if (file.bytes.length > MAX_FILE_BYTES) throw unreadable(name, file.name)
  const text = file.bytes.toString('utf8')
  if (isPlaintextKey(text)) throw plaintextKey(name, file.name)
  return name === 'log' ? fromPkcs8(text, file.name, secrets) : fromKeystore(text, file.name, secrets)
}

/** What a key in clear looks like: PEM without encryption, or nothing but 32 or 64 bytes in hex or base64. */
export function isPlaintextKey(text: string): boolean {
  if (
    /-----BEGIN (?!ENCRYPTED )(?:[A-Z]+ )?PRIVATE KEY-----/.test(text) &&
    !/^Proc-Type: 4,ENCRYPTED/m.test(text)
  )
    return true
  const compact = text.trim()
  return (
    /^(?:0x)?(?:[0-9a-fA-F]{64}){1,2}$/.test(compact) ||
    /^[A-Za-z0-9+/_-]{43}=?$/.test(compact) ||
    /^[A-Za-z0-9+/_-]{86}(?:==)?$/.test(compact)
  )
}

async function fromPkcs8(text: string, file: string, secrets: SecretSource): Promise<Buffer> {
  if (!text.includes('-----BEGIN ENCRYPTED PRIVATE KEY-----')) throw unreadable('log', file)
  const passphrase = await secrets.ask('passphrase', file)
  try {
    const key = createPrivateKey({ key: text, passphrase })
    if (key.asymmetricKeyType !== 'ed25519') throw unreadable('log', file)
    const der = key.export({ format: 'der', type: 'pkcs8' })
    const seed = Buffer.allocUnsafeSlow(SEED_BYTES)
    der.copy(seed, 0, der.length - SEED_BYTES)
    der.fill(0)
    return seed
  } catch (error) {
    throw error instanceof VaultError ? error : wrong(file)
  } finally {
    passphrase.fill(0)
  }
}

async function fromKeystore(text: string, file: string, secrets: SecretSource): Promise<Buffer> {
  const { decryptKeystoreJson, isKeystoreJson } = await import('ethers/wallet')
  if (!isKeystoreJson(text)) throw unreadable('gateway', file)
  const passphrase = await secrets.ask('passphrase', file)
  try {
    const { privateKey } = await decryptKeystoreJson(text, passphrase)
    return Buffer.from(privateKey.slice(2), 'hex')
  } catch {
    // No cause: the library's may quote what it was given.
    throw wrong(file)
  } finally {
    passphrase.fill(0)
  }
}

const FORMS: Readonly<Record<Importable, string>> = {
  log: 'an Ed25519 key as encrypted PKCS#8 in PEM: openssl genpkey -algorithm ed25519 -aes256 -out FILE',
  gateway: 'a keystore v3 file, as geth and wallets export it',
}

const unreadable = (name: Importable, file: string): VaultError =>
  new VaultError('import-invalid', `${file} is no ${name} key that can be imported`, `Give ${FORMS[name]}.`)

const wrong = (file: string): VaultError =>
  new VaultError(
    'passphrase-wrong',
    `the passphrase does not open ${file}, or its content is damaged`,
    'Try again with the passphrase that the file was encrypted with.',
  )

export function plaintextKey(name: KeyName | undefined, file: string): VaultError {
  const form = name === 'log' || name === 'gateway' ? FORMS[name] : 'an encrypted file'
  return new VaultError(
    'plaintext-refused',
    `${file} holds a key in clear`,
    `Treat it as known to others: remove it, and use another. To import a key give ${form}.`,
  )
}
