/**
 * The wrapping key, encrypted by a key that was made in a PKCS#11 token and never leaves it: AES-256-GCM, or RSA-OAEP
 * for tokens that know no AES. Who copies the state directory needs the token and its PIN to open it.
 */
import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import type { Ownership } from './key-file.ts'
import { WRAPPING_KEY_BYTES } from './keyed-vault.ts'
import { MECHANISMS, type MechanismName } from './pkcs11-mechanism.ts'
import { type Session, type TokenPlace, withToken } from './pkcs11-token.ts'
import type { SecretSource } from './secret-source.ts'
import { VaultError } from './vault-error.ts'
import {
  readWrapped,
  type WrappingKeyProvider,
  wrappedDamaged,
  wrappingFile,
  writeWrapped,
} from './wrapping-key.ts'

type Handle = Session['handle']

export interface Pkcs11Settings extends TokenPlace {
  /** Label of the key in the token. */
  readonly key: string
  readonly mechanism: MechanismName
}

const IV_BYTES = 12
const TAG_BITS = 128
const RSA_BITS = 3072
/** PKCS#11 v2.40 §2.1.7: the label of OAEP is given as data, here none. */
const CKZ_DATA_SPECIFIED = 1

const base64 = z.base64().max(4096)
const Wrapped = z.object({ mechanism: z.enum(MECHANISMS), iv: base64, blob: base64 })

export function pkcs11Provider(options: {
  readonly keysDirectory: string
  readonly settings: Pkcs11Settings | undefined
  readonly secrets: SecretSource
  readonly ownership: Ownership
}): WrappingKeyProvider {
  const { keysDirectory, secrets, ownership } = options
  const file = wrappingFile(keysDirectory, 'pkcs11')
  const settings = (): Pkcs11Settings => {
    if (options.settings !== undefined) return options.settings
    throw new VaultError(
      'provider-unavailable',
      'vault.pkcs11 is not configured',
      'Set vault.pkcs11.module and vault.pkcs11.token in gateway.yaml.',
    )
  }
  return {
    name: 'pkcs11',
    place: file,
    describe: async () => `pkcs11 (token ${settings().token})`,
    unavailable: async () => (options.settings ? undefined : 'vault.pkcs11 is not configured'),
    async open() {
      const fields = await readWrapped(file, ownership)
      if (fields === undefined) return undefined
      const { data } = Wrapped.safeParse(fields)
      if (data === undefined) throw wrappedDamaged(file)
      const place = settings()
      const key = await withToken(place, secrets, (session) => {
        const keys = find(session, place.key, data.mechanism)
        if (keys === undefined) throw missing(place)
        return decrypt(session, keys.opens, data, file)
      })
      if (key.length === WRAPPING_KEY_BYTES) return key
      throw wrappedDamaged(file)
    },
    async create() {
      const place = settings()
      const key = randomBytes(WRAPPING_KEY_BYTES)
      const iv = place.mechanism === 'aes-gcm' ? randomBytes(IV_BYTES) : Buffer.alloc(0)
      const blob = await withToken(
        place,
        secrets,
        (session) => {
          const keys = find(session, place.key, place.mechanism) ?? generate(session, place)
          return encrypt(session, keys.seals, { mechanism: place.mechanism, iv, key })
        },
        { writable: true },
      )
      const text = { iv: iv.toString('base64'), blob: blob.toString('base64') }
      await writeWrapped(file, 'pkcs11', { mechanism: place.mechanism, ...text })
      return key
    },
  }
}

interface TokenKeys {
  readonly seals: Handle
  readonly opens: Handle
}

function find(session: Session, label: string, mechanism: MechanismName): TokenKeys | undefined {
  const { CKO_SECRET_KEY, CKO_PUBLIC_KEY, CKO_PRIVATE_KEY } = session.library
  const [sealing, opening] =
    mechanism === 'aes-gcm' ? [CKO_SECRET_KEY, CKO_SECRET_KEY] : [CKO_PUBLIC_KEY, CKO_PRIVATE_KEY]
  const seals = findOne(session, label, sealing)
  const opens = findOne(session, label, opening)
  return seals && opens && { seals, opens }
}

function findOne({ library, module, handle }: Session, label: string, kind: number): Handle | undefined {
  module.C_FindObjectsInit(handle, [
    { type: library.CKA_CLASS, value: kind },
    { type: library.CKA_LABEL, value: label },
  ])
  const found = module.C_FindObjects(handle, 1)
  module.C_FindObjectsFinal(handle)
  return found[0]
}

/** Sensitive and not extractable: the token gives it to nobody. */
function generate({ library, module, handle }: Session, { key, mechanism }: Pkcs11Settings): TokenKeys {
  const common = [
    { type: library.CKA_TOKEN, value: true },
    { type: library.CKA_LABEL, value: key },
  ]
  const secret = [
    ...common,
    { type: library.CKA_PRIVATE, value: true },
    { type: library.CKA_SENSITIVE, value: true },
    { type: library.CKA_EXTRACTABLE, value: false },
    { type: library.CKA_DECRYPT, value: true },
  ]
  if (mechanism === 'aes-gcm') {
    const made = module.C_GenerateKey(handle, { mechanism: library.CKM_AES_KEY_GEN }, [
      ...secret,
      { type: library.CKA_ENCRYPT, value: true },
      { type: library.CKA_VALUE_LEN, value: 32 },
    ])
    return { seals: made, opens: made }
  }
  const pair = module.C_GenerateKeyPair(
    handle,
    { mechanism: library.CKM_RSA_PKCS_KEY_PAIR_GEN },
    [
      ...common,
      { type: library.CKA_ENCRYPT, value: true },
      { type: library.CKA_MODULUS_BITS, value: RSA_BITS },
      { type: library.CKA_PUBLIC_EXPONENT, value: Buffer.of(1, 0, 1) },
    ],
    secret,
  )
  return { seals: pair.publicKey, opens: pair.privateKey }
}

function mechanismOf({ library }: Session, mechanism: MechanismName, iv: Buffer) {
  if (mechanism === 'aes-gcm') {
    const type = library.CK_PARAMS_AES_GCM_v240
    return {
      mechanism: library.CKM_AES_GCM,
      parameter: { type, iv, ivBits: 8 * IV_BYTES, tagBits: TAG_BITS },
    }
  }
  // SHA-1 as OAEP uses it has no known weakness, and many tokens know no other.
  const parameter = {
    type: library.CK_PARAMS_RSA_OAEP,
    hashAlg: library.CKM_SHA_1,
    mgf: library.CKG_MGF1_SHA1,
    source: CKZ_DATA_SPECIFIED,
  }
  return { mechanism: library.CKM_RSA_PKCS_OAEP, parameter }
}

function encrypt(
  session: Session,
  handle: Handle,
  { mechanism, iv, key }: { mechanism: MechanismName; iv: Buffer; key: Buffer },
): Buffer {
  session.module.C_EncryptInit(session.handle, mechanismOf(session, mechanism, iv), handle)
  return Buffer.from(session.module.C_Encrypt(session.handle, key, Buffer.alloc(RSA_BITS / 8)))
}

function decrypt(
  session: Session,
  handle: Handle,
  { mechanism, iv, blob }: z.output<typeof Wrapped>,
  file: string,
): Buffer {
  const ivBytes = Buffer.from(iv, 'base64')
  session.module.C_DecryptInit(session.handle, mechanismOf(session, mechanism, ivBytes), handle)
  const room = Buffer.alloc(RSA_BITS / 8)
  try {
    const plain = session.module.C_Decrypt(session.handle, Buffer.from(blob, 'base64'), room)
    const key = Buffer.allocUnsafeSlow(plain.length)
    plain.copy(key)
    return key
  } catch (error) {
    const { CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_GENERAL_ERROR } = session.library
    const invalid = [CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_GENERAL_ERROR]
    if (!invalid.some((code) => code === (error as { code?: unknown }).code)) throw error
    throw new VaultError(
      'wrapping-key-wrong',
      `the key in the token does not open ${file}: another key of that label made it, or it was changed`,
      'Restore the file, or the token, from a backup of the time when the two belonged together.',
    )
  } finally {
    room.fill(0)
  }
}

function missing({ token, key }: Pkcs11Settings): VaultError {
  return new VaultError(
    'pkcs11-key-missing',
    `the token ${token} holds no key ${JSON.stringify(key)} any more`,
    "Restore the token from its backup. Without that key this state directory's keys can't be opened.",
  )
}
