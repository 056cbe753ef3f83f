/**
 * The CA on disk: certificates public, keys sealed by the vault; the supervisor alone opens the keys. While a rotation is
 * under way there are two of them. `ca.crt` holds the certificates of those that are there, the one that signs first: it
 * is what clients are pointed at, and some read only its first.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Authority, createAuthority, type PermittedDomains } from '../../../ca/authority.ts'
import { certificateBlocks } from '../../../ca/system-roots.ts'
import { makeDirectory, removeFile, writeFileAtomic } from '../../base/durable/files.ts'
import { alone } from '../../vault/alone.ts'
import type { KeyPlace } from '../../vault/rotation.ts'
import { openSealed, sealTo } from '../../vault/sealed-file.ts'
import { SupervisorError } from '../supervisor-error.ts'
import { historyDamaged, readSteps, type Step, type Taken } from './history.ts'
import { fingerprintOf, isSignedByBoth } from './note.ts'

export const CA_PURPOSE = 'ca-key'

export interface AuthorityPlace extends KeyPlace {
  /** Public, PEM. */
  readonly certificateFile: string
}

export interface Rotation {
  readonly step: Extract<Step, 'introduced' | 'distributed' | 'signing'>
  /** RFC 3339: when that step was taken. */
  readonly since: string
  readonly from: Authority
  readonly to: Authority
}

export interface Authorities {
  /** The first that may speak for a name signs for it. Two while a rotation is under way, else one. */
  readonly inOrder: readonly Authority[]
  readonly rotation: Rotation | undefined
  /** Steps that the log may not hold yet. */
  readonly untold: readonly Taken[]
}

export const sealedKey = ({ dir }: Pick<AuthorityPlace, 'dir'>): string => join(dir, 'ca.sealed')
export const sealedSuccessorKey = ({ dir }: Pick<AuthorityPlace, 'dir'>): string =>
  join(dir, 'ca.next.sealed')

/** Runs alone among all programs that change this gateway's keys. */
export async function withAuthorities<T>(place: AuthorityPlace, run: () => Promise<T>): Promise<T> {
  // 0711: the public verifier key beside the sealed files is readable by name.
  await makeDirectory(place.dir, { mode: 0o711 })
  return alone(place.dir, run)
}

/**
 * Opens the CA, or makes it where neither certificate nor key is there. What a crash left of a rotation's step is done to
 * its end, or taken back where the step was not taken.
 * @throws SupervisorError CA_INCOMPLETE where only some of it is there: someone took the rest away; CA_HISTORY_DAMAGED
 */
export const openAuthorities = (
  place: AuthorityPlace,
  wish: { readonly permittedDomains: PermittedDomains; readonly now: Date },
): Promise<Authorities> =>
  withAuthorities(place, async () => (await readAuthorities(place)) ?? makeFirst(place, wish))

/** Makes a CA in the place of the one that is there. Clients have to be told to trust it. */
async function makeFirst(
  place: AuthorityPlace,
  wish: { readonly permittedDomains: PermittedDomains; readonly now: Date },
): Promise<Authorities> {
  const made = await createAuthority(wish)
  await sealTo(place.vault, sealedKey(place), CA_PURPOSE, Buffer.from(made.privateKeyPem), { replace: true })
  await publish(place, [made])
  return { inOrder: [made], rotation: undefined, untold: await untoldOf(place) }
}

/** For who is alone already; undefined where there is no CA yet. */
export async function readAuthorities(place: AuthorityPlace): Promise<Authorities | undefined> {
  const { dir, certificateFile } = place
  const last = (await readSteps(dir)).at(-1)
  const key = await openKey(place, sealedKey(place))
  const published = await readPublished(certificateFile)
  if (published === undefined && key === undefined && !isUnderWay(last)) return undefined
  if (published === undefined) throw incomplete(certificateFile, sealedKey(place))
  if (key === undefined) throw incomplete(sealedKey(place), certificateFile)
  const untold = await untoldOf(place)
  if (isUnderWay(last)) {
    const rotation = await rotationOf(place, last, published, key)
    const { from, to } = rotation
    const inOrder = rotation.step === 'signing' ? [to, from] : [from, to]
    await publish(place, inOrder, published)
    return { inOrder, rotation, untold }
  }
  const current = await settled(place, last, published, key)
  await publish(place, [current], published)
  await removeFile(sealedSuccessorKey(place))
  return { inOrder: [current], rotation: undefined, untold }
}

async function rotationOf(
  place: AuthorityPlace,
  last: Taken & { step: Rotation['step'] },
  published: Published,
  key: string,
): Promise<Rotation> {
  const { certificateFile } = place
  const nextKey = await openKey(place, sealedSuccessorKey(place))
  if (nextKey === undefined) throw incomplete(sealedSuccessorKey(place), sealedKey(place))
  const from = pairOf(published.byFingerprint.get(last.from), key)
  const to = pairOf(published.byFingerprint.get(last.to), nextKey)
  if (from === undefined || to === undefined) throw incomplete(certificateFile, sealedKey(place))
  if (!isSignedByBoth(last, place.origin, { from: from.certificatePem, to: to.certificatePem })) {
    throw historyDamaged(`the CA's keys did not sign the step "${last.step}" in ${place.dir}/ca-history.json`)
  }
  return { step: last.step, since: last.time, from, to }
}

/** The one CA where no rotation is under way: of one that is over, what a crash left undone is done. */
async function settled(
  place: AuthorityPlace,
  last: Taken | undefined,
  published: Published,
  key: string,
): Promise<Authority> {
  const successor = last?.step === 'finished' ? published.byFingerprint.get(last.to) : undefined
  if (successor !== undefined && pairOf(successor, key) === undefined) {
    const nextKey = await openKey(place, sealedSuccessorKey(place))
    const next = nextKey === undefined ? undefined : pairOf(successor, nextKey)
    if (next === undefined) throw incomplete(sealedSuccessorKey(place), place.certificateFile)
    await sealTo(place.vault, sealedKey(place), CA_PURPOSE, Buffer.from(next.privateKeyPem), {
      replace: true,
    })
    return next
  }
  for (const certificate of published.byFingerprint.values()) {
    const pair = pairOf(certificate, key)
    if (pair !== undefined) return pair
  }
  throw incomplete(place.certificateFile, sealedKey(place))
}

interface Published {
  readonly text: string
  readonly byFingerprint: ReadonlyMap<string, string>
}

async function readPublished(file: string): Promise<Published | undefined> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
  const byFingerprint = new Map<string, string>()
  for (const block of certificateBlocks(text)) {
    const pem = normalForm(block)
    if (pem !== undefined) byFingerprint.set(fingerprintOf(pem), pem)
  }
  return { text, byFingerprint }
}

function normalForm(block: string): string | undefined {
  try {
    return new X509Certificate(block).toString()
  } catch {
    return undefined
  }
}

/** Writes `ca.crt`, unless it holds just that. */
export async function publish(
  { certificateFile }: Pick<AuthorityPlace, 'certificateFile'>,
  inOrder: readonly Authority[],
  published?: Pick<Published, 'text'>,
): Promise<void> {
  const text = inOrder.map(({ certificatePem }) => certificatePem).join('')
  if (text === published?.text) return
  await makeDirectory(dirname(certificateFile), { mode: 0o755 })
  await writeFileAtomic(certificateFile, Buffer.from(text), { mode: 0o644 })
}

async function openKey(place: AuthorityPlace, file: string): Promise<string | undefined> {
  const secret = await openSealed(place.vault, file, CA_PURPOSE, place.ownership)
  const pem = secret?.toString('utf8')
  secret?.fill(0)
  return pem
}

/** Undefined where the two don't belong together. */
function pairOf(certificatePem: string | undefined, privateKeyPem: string): Authority | undefined {
  if (certificatePem === undefined) return undefined
  try {
    const key = createPrivateKey(privateKeyPem)
    return new X509Certificate(certificatePem).checkPrivateKey(key)
      ? { certificatePem, privateKeyPem }
      : undefined
  } catch {
    // A parser's message must never carry a piece of the key.
    return undefined
  }
}

export const isUnderWay = (
  taken: Taken | undefined,
): taken is Taken & { step: Extract<Step, 'introduced' | 'distributed' | 'signing'> } =>
  taken?.step === 'introduced' || taken?.step === 'distributed' || taken?.step === 'signing'

const untoldOf = async ({ dir }: AuthorityPlace): Promise<Taken[]> =>
  (await readSteps(dir)).filter(({ pending }) => pending)

const incomplete = (missing: string, counterpart: string): SupervisorError =>
  new SupervisorError(
    'CA_INCOMPLETE',
    `${missing} is missing beside ${counterpart}, or the two don't belong together`,
    'Restore ca/ and keys/ca* from a backup. For a new CA remove them all and run installers/install.sh: it makes one and has it trusted.',
  )
