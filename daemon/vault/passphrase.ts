/**
 * The wrapping key under a passphrase: scrypt (RFC 7914) makes the key that opens it, with parameters that stand
 * beside it. Whoever copies the state directory has to guess; nobody starts the gateway without the passphrase.
 */
import { createCipheriv, createDecipheriv, randomBytes, type ScryptOptions, scrypt } from 'node:crypto'
import { promisify } from 'node:util'
import { z } from 'zod'
import type { Ownership } from './key-file.ts'
import { WRAPPING_KEY_BYTES } from './keyed-vault.ts'
import type { SecretSource } from './secret-source.ts'
import { VaultError } from './vault-error.ts'
import {
  readWrapped,
  type WrappingKeyProvider,
  wrappedDamaged,
  wrappingFile,
  writeWrapped,
} from './wrapping-key.ts'

/** OWASP's password storage recommendation for scrypt: 128 MiB and about half a second. */
const COST = { N: 2 ** 17, r: 8, p: 1 }
/** NIST SP 800-63B asks for 8 at least where guesses are limited; here nothing limits them. */
const MIN_PASSPHRASE_BYTES = 12
const SALT_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const AAD = Buffer.from('agent-anchor passphrase v1')

const bytes = (length: number) =>
  z
    .base64()
    .transform((text) => Buffer.from(text, 'base64'))
    .refine((value) => value.length === length)
/** Bounds, so that a file that was changed can't ask for all memory. */
const Wrapped = z.object({
  kdf: z.literal('scrypt'),
  N: z
    .int()
    .min(2 ** 14)
    .max(2 ** 20),
  r: z.int().min(1).max(16),
  p: z.int().min(1).max(4),
  salt: bytes(SALT_BYTES),
  nonce: bytes(NONCE_BYTES),
  blob: bytes(WRAPPING_KEY_BYTES + TAG_BYTES),
})

const derive: (secret: Buffer, salt: Buffer, length: number, options: ScryptOptions) => Promise<Buffer> =
  promisify(scrypt)

export function passphraseProvider(options: {
  readonly keysDirectory: string
  readonly secrets: SecretSource
  readonly ownership: Ownership
  readonly cost?: typeof COST
}): WrappingKeyProvider {
  const { keysDirectory, secrets, ownership, cost = COST } = options
  const file = wrappingFile(keysDirectory, 'passphrase')
  return {
    name: 'passphrase',
    place: file,
    describe: async () => 'passphrase',
    unavailable: async () => undefined,
    async open() {
      const fields = await readWrapped(file, ownership)
      if (fields === undefined) return undefined
      const { data } = Wrapped.safeParse(fields)
      if (data === undefined) throw wrappedDamaged(file)
      const passphrase = await secrets.ask('passphrase', 'the vault')
      const key = await keyOf(passphrase, data.salt, data)
      const decipher = createDecipheriv('aes-256-gcm', key, data.nonce, { authTagLength: TAG_BYTES })
      key.fill(0)
      decipher.setAAD(AAD)
      decipher.setAuthTag(data.blob.subarray(-TAG_BYTES))
      const wrappingKey = decipher.update(data.blob.subarray(0, -TAG_BYTES))
      try {
        decipher.final()
        return wrappingKey
      } catch {
        wrappingKey.fill(0)
        throw wrong(file)
      }
    },
    async create() {
      const passphrase = await secrets.ask('passphrase', 'the vault', true)
      if (passphrase.length < MIN_PASSPHRASE_BYTES) throw weak(passphrase)
      const wrappingKey = randomBytes(WRAPPING_KEY_BYTES)
      const [salt, nonce] = [randomBytes(SALT_BYTES), randomBytes(NONCE_BYTES)]
      const key = await keyOf(passphrase, salt, cost)
      const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
      key.fill(0)
      cipher.setAAD(AAD)
      const blob = Buffer.concat([cipher.update(wrappingKey), cipher.final(), cipher.getAuthTag()])
      const text = {
        salt: salt.toString('base64'),
        nonce: nonce.toString('base64'),
        blob: blob.toString('base64'),
      }
      await writeWrapped(file, 'passphrase', { kdf: 'scrypt', ...cost, ...text })
      return wrappingKey
    },
  }
}

/** Wipes the passphrase. */
async function keyOf(passphrase: Buffer, salt: Buffer, { N, r, p }: typeof COST): Promise<Buffer> {
  try {
    return await derive(passphrase, salt, WRAPPING_KEY_BYTES, { N, r, p, maxmem: 256 * N * r })
  } finally {
    passphrase.fill(0)
  }
}

function weak(passphrase: Buffer): VaultError {
  passphrase.fill(0)
  return new VaultError(
    'passphrase-weak',
    `the passphrase is shorter than ${MIN_PASSPHRASE_BYTES} bytes`,
    'Choose a longer one, such as six random words: whoever has the state directory may guess without end.',
  )
}

function wrong(file: string): VaultError {
  return new VaultError(
    'passphrase-wrong',
    `the passphrase does not open ${file}`,
    'Try again. If it is right, the file was changed: restore it from a backup.',
  )
}
