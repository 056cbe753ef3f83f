/** What keys there are: never one itself. */
import { X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { certificateBlocks } from '../../ca/system-roots.ts'
import { readSteps } from '../../daemon/supervisor/authority/history.ts'
import { readHistory } from '../../daemon/vault/history.ts'
import { KEY_NAMES, type KeyName, keyId, purposeOf, sealedFile } from '../../daemon/vault/key-kinds.ts'
import { envelopeOf, openSealed } from '../../daemon/vault/sealed-file.ts'
import type { KeysPlace } from './place.ts'

export interface ListedKey {
  readonly name: KeyName | 'ca'
  readonly kind: string
  readonly id: string
  /** RFC 3339. */
  readonly since: string
  readonly sealedBy: string
  /** The id of the key that is taking its place. */
  readonly rotatingTo?: string
}

const KINDS: Readonly<Record<KeyName, string>> = {
  log: 'Ed25519, signs checkpoints',
  gateway: 'secp256k1, anchors and pays',
  body: 'AES-256, seals bodies',
  fingerprint: 'HMAC, tells credentials apart',
}

/** @throws VaultError */
export async function listKeys(keys: KeysPlace): Promise<ListedKey[]> {
  const dir = keys.paths.keysDirectory
  const vault = await keys.vault()
  const changes = await readHistory(dir)
  const listed: ListedKey[] = []
  for (const name of KEY_NAMES) {
    const file = sealedFile(dir, name)
    const secret = await openSealed(vault, file, purposeOf(name))
    if (secret === undefined) continue
    const id = await keyId(name, secret, keys.origin)
    secret.fill(0)
    const began = changes.findLast(({ key, to }) => key === name && to === id)?.time
    const pending = changes.find((change) => change.key === name && change.pending && change.to !== id)
    listed.push({
      name,
      kind: KINDS[name],
      id,
      since: began ?? (await written(file)),
      sealedBy: (await envelopeOf(file))?.vault ?? '',
      ...(pending === undefined ? {} : { rotatingTo: pending.to }),
    })
  }
  // Of two the one that signs stands first.
  const [certificate, other] = [...certificateBlocks(await readFile(keys.paths.caCertificate, 'utf8'))].map(
    (pem) => new X509Certificate(pem),
  )
  if (certificate === undefined) return listed
  const last = (await readSteps(dir)).at(-1)
  listed.push({
    name: 'ca',
    kind: 'P-256, signs leaves for this machine',
    id: certificate.fingerprint256,
    since: certificate.validFromDate.toISOString(),
    sealedBy: (await envelopeOf(keys.paths.caSealedKey))?.vault ?? '',
    ...(other !== undefined && last?.step !== 'signing' ? { rotatingTo: other.fingerprint256 } : {}),
  })
  return listed
}

const written = async (file: string): Promise<string> => (await stat(file)).mtime.toISOString()

const DAY_MS = 86_400_000

export function listRows(keys: readonly ListedKey[], now: Date): string[][] {
  return keys.map(({ name, kind, id, since, sealedBy, rotatingTo }) => {
    const days = Math.floor((now.getTime() - Date.parse(since)) / DAY_MS)
    const rotating = rotatingTo === undefined ? '' : ` (rotating to ${rotatingTo})`
    return [name, kind, `${days} d`, sealedBy, `${id}${rotating}`]
  })
}
