/**
 * Rotation of a key, in steps of which each is one durable write, so that after a crash at any of them the next start
 * goes on: the key that ends is there until the record that both keys signed is in the log.
 *
 *   stage    NAME.next.sealed is written, then the change stands in history.json as pending
 *   begin    at a start with a pending change the new key is in force; the old one signs beside it
 *   settle   its record is in the log: NAME.sealed becomes the new key, then the change is pending no more
 */
import { randomUUIDv7 } from 'node:crypto'
import { join } from 'node:path'
import { removeFile } from '../base/durable/files.ts'
import { alone } from './alone.ts'
import { type Change, readHistory, writeHistory } from './history.ts'
import type { Ownership } from './key-file.ts'
import { isValid, type KeyName, keyId, nextFile, purposeOf, randomKey, sealedFile } from './key-kinds.ts'
import { openSealed, sealTo } from './sealed-file.ts'
import { successionNote } from './succession-note.ts'
import type { Vault } from './vault.ts'
import { VaultError } from './vault-error.ts'
import { replaceVerifierKey } from './verifier-key.ts'

export interface KeyPlace {
  readonly vault: Vault
  /** Where the sealed keys are. */
  readonly dir: string
  /** Of the log. */
  readonly origin: string
  readonly ownership?: Ownership
}

/** Names the log's first key, once: the first record of a new log. @param secret the log key */
export const nameFirstKey = (place: KeyPlace, secret: Buffer): Promise<void> =>
  alone(place.dir, () => nameFirst(place, secret))

async function nameFirst({ dir, origin }: KeyPlace, secret: Buffer): Promise<void> {
  const changes = await readHistory(dir)
  if (changes.some(({ key }) => key === 'log')) return
  const to = { id: await keyId('log', secret, origin), secret }
  const time = new Date().toISOString()
  const note = await successionNote('log', { origin, time }, { from: undefined, to })
  await writeHistory(dir, [...changes, { id: randomUUIDv7(), time, key: 'log', to: to.id, note }])
}

/**
 * Prepares a new key, which comes into force at the next start.
 * @param secret the new key, the caller's to wipe; a random one where absent
 * @throws VaultError `rotation-under-way`, `import-invalid`, `keys-incomplete`
 */
export const stageRotation = (place: KeyPlace, name: KeyName, secret?: Buffer): Promise<Change> =>
  alone(place.dir, () => stage(place, name, secret))

async function stage(place: KeyPlace, name: KeyName, secret?: Buffer): Promise<Change> {
  const { vault, dir, origin, ownership } = place
  const changes = await readHistory(dir)
  if (changes.some(({ key, pending }) => key === name && pending)) {
    throw new VaultError(
      'rotation-under-way',
      `the ${name} key is being rotated already`,
      'It is done when the gateway has run with the new one: start it, then look at agent-anchor keys list.',
    )
  }
  const old = await openSealed(vault, sealedFile(dir, name), purposeOf(name), ownership)
  if (old === undefined) throw missing(dir, name)
  const fresh = secret ?? randomKey(name)
  try {
    if (!isValid(name, fresh)) throw invalid(`it is no ${name} key`)
    const from = { id: await keyId(name, old, origin), secret: old }
    const to = { id: await keyId(name, fresh, origin), secret: fresh }
    if (changes.some(({ key, from: before }) => key === name && before === to.id) || from.id === to.id)
      throw invalid('this gateway has used it before')
    const time = new Date().toISOString()
    const note = await successionNote(name, { origin, time }, { from, to })
    await sealTo(vault, nextFile(dir, name), purposeOf(name), fresh, { replace: true })
    const change: Change = {
      id: randomUUIDv7(),
      time,
      key: name,
      from: from.id,
      to: to.id,
      note,
      pending: true,
    }
    await writeHistory(dir, [...changes, change])
    return change
  } finally {
    old.fill(0)
    if (secret === undefined) fresh.fill(0)
  }
}

/** A key that came into force with a change that isn't settled. */
export interface Begun {
  readonly change: Change
  readonly secret: Buffer
}

/**
 * The new keys of pending changes, by name.
 * @param current the keys in NAME.sealed
 * @throws VaultError `rotation-damaged`
 */
export async function beginRotations(
  place: KeyPlace,
  current: Readonly<Record<KeyName, Buffer>>,
): Promise<ReadonlyMap<KeyName, Begun>> {
  const { vault, dir, origin, ownership } = place
  const begun = new Map<KeyName, Begun>()
  for (const change of await readHistory(dir)) {
    if (!change.pending) continue
    const { key: name } = change
    if ((await keyId(name, current[name], origin)) === change.to) {
      // A crash in the middle of its settlement: what remains is done now.
      await settleRotation(place, change)
      continue
    }
    const secret = await openSealed(vault, nextFile(dir, name), purposeOf(name), ownership)
    if (secret === undefined || (await keyId(name, secret, origin)) !== change.to) {
      throw new VaultError(
        'rotation-damaged',
        `${nextFile(dir, name)} is not the key that ${name} was to be rotated to`,
        'Restore it from a backup.',
      )
    }
    begun.set(name, { change, secret })
  }
  return begun
}

/** The record of a change is in the log: its key takes the old one's place. Done twice it does nothing more. */
export const settleRotation = (place: KeyPlace, change: Change): Promise<void> =>
  alone(place.dir, () => settle(place, change))

async function settle(place: KeyPlace, change: Change): Promise<void> {
  const { vault, dir, ownership } = place
  const { key: name } = change
  const changes = await readHistory(dir)
  if (!changes.some(({ id, pending }) => id === change.id && pending)) return
  const next = await openSealed(vault, nextFile(dir, name), purposeOf(name), ownership)
  if (next !== undefined) {
    await keepFormer(place, change)
    await sealTo(vault, sealedFile(dir, name), purposeOf(name), next, { replace: true })
    next.fill(0)
  }
  if (name === 'log') await replaceVerifierKey(dir, change.to)
  await removeFile(nextFile(dir, name))
  const settled = changes.map(({ pending, ...rest }) =>
    rest.id === change.id || !pending ? rest : { ...rest, pending },
  )
  await writeHistory(dir, settled)
}

/** Bodies under an earlier body key stay readable; the account of the first gateway key owns the log on the chains. */
export const formerFile = (dir: string, change: Pick<Change, 'key' | 'from'>): string | undefined => {
  if (change.key === 'body') return join(dir, `body-${change.from}.sealed`)
  if (change.key === 'gateway') return join(dir, 'owner.sealed')
  return undefined
}

async function keepFormer({ vault, dir, origin, ownership }: KeyPlace, change: Change): Promise<void> {
  const file = formerFile(dir, change)
  const { key: name } = change
  if (file === undefined) return
  const old = await openSealed(vault, sealedFile(dir, name), purposeOf(name), ownership)
  if (old === undefined) throw missing(dir, name)
  const kept = await openSealed(vault, file, purposeOf(name), ownership)
  // Of several gateway keys the first stays the owner.
  if (kept === undefined && (await keyId(name, old, origin)) === change.from)
    await sealTo(vault, file, purposeOf(name), old)
  kept?.fill(0)
  old.fill(0)
}

/** Body keys that were in force before, the newest first; and the key of the log's owner, where it isn't the gateway's. */
export async function formerKeys({ vault, dir, ownership }: KeyPlace): Promise<{
  readonly bodies: readonly Buffer[]
  readonly owner: Buffer | undefined
}> {
  const changes = await readHistory(dir)
  const bodies: Buffer[] = []
  for (const change of changes.toReversed()) {
    const file = change.key === 'body' && !change.pending ? formerFile(dir, change) : undefined
    if (file === undefined) continue
    const secret = await openSealed(vault, file, 'body-key', ownership)
    if (secret === undefined) throw missing(dir, 'body')
    bodies.push(secret)
  }
  const owner = await openSealed(vault, join(dir, 'owner.sealed'), 'gateway-key', ownership)
  return { bodies, owner }
}

const missing = (dir: string, name: KeyName): VaultError =>
  new VaultError(
    'keys-incomplete',
    `${dir} lacks a ${name} key that this gateway must have had before`,
    'Restore the directory from a backup.',
  )

const invalid = (why: string): VaultError =>
  new VaultError('import-invalid', `the key is not taken: ${why}`, 'Give another one.')
