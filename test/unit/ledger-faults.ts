/**
 * A log's whole life on a disk that can fail at each call, and what must hold of the files that are left, whatever
 * happened: it opens, nothing acknowledged is missing or changed, fsck is content, and all that was ever signed is of
 * one history.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { FileSystem } from '../../daemon/base/durable/file-system.ts'
import { verifyCheckpoint } from '../../daemon/ledger/checkpoint.ts'
import type { Ledger } from '../../daemon/ledger/ledger.ts'
import { treeRoot } from '../../daemon/ledger/merkle-path.ts'
import { openReader } from '../../daemon/ledger/reader.ts'
import { storedNodes } from '../../daemon/ledger/tile-store.ts'
import { ledgerEntries } from '../../daemon/recorder/index/ledger-entries.ts'
import { type CrashDisk, hastyFileSystem, type Image, materialise } from './crash-disk.ts'
import { fsck, leaf, open, signer } from './ledger-fixture.ts'

/** What the world outside heard of the log. */
export interface Heard {
  readonly acknowledged: Map<bigint, Buffer>
  /** Texts that were signed, whether or not the signature then reached a file. */
  readonly signed: string[]
  /** Indexes that were given to a second leaf: what was acknowledged before was lost. */
  readonly twice: bigint[]
  appended: number
}

export const unheard = (): Heard => ({ acknowledged: new Map(), signed: [], twice: [], appended: 0 })

/** What was heard up to now. */
export const heardNow = ({ acknowledged, signed, twice, appended }: Heard): Heard => ({
  acknowledged: new Map(acknowledged),
  signed: [...signed],
  twice: [...twice],
  appended,
})

function opened(dir: string, fs: FileSystem, heard: Heard): Promise<Ledger> {
  const sign = (text: Buffer): Buffer => {
    heard.signed.push(text.toString())
    return signer.sign(text)
  }
  return open(logIn(dir), { fs, sign, memory: join(dir, 'last-checkpoint'), checkpointIntervalMs: 1 })
}

/** Beside it lies the checkpoint that is remembered. */
const logIn = (dir: string): string => join(dir, 'log')

/** Appends at the same time; who is refused is content. */
async function append(ledger: Ledger, heard: Heard, count: number): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, async () => {
      const bytes = leaf(heard.appended++)
      const index = await ledger.append(bytes).catch(() => undefined)
      if (index === undefined) return
      if (heard.acknowledged.has(index)) heard.twice.push(index)
      heard.acknowledged.set(index, bytes)
    }),
  )
}

const RESTARTS = 60

/** Opens the log as a service manager does: again, where a start fails. */
async function started(disk: CrashDisk, heard: Heard): Promise<Ledger> {
  for (let left = RESTARTS; ; left--) {
    try {
      return await opened(disk.dir, disk.boot(), heard)
    } catch (error) {
      if (left === 0) throw error
    }
  }
}

const signedUp = async (ledger: Ledger): Promise<void> => {
  for (
    let turns = 0;
    turns < 2000 && ledger.signed?.size !== ledger.size && ledger.trouble === undefined;
    turns++
  )
    await new Promise(setImmediate)
}

/** Appends that meet rolls and integrations at every stage. */
async function underLoad(ledger: Ledger, heard: Heard): Promise<void> {
  let left = 2
  const remove = ledger.onCheckpoint(() => left--)
  for (let turns = 0; turns < 20 && left > 0; turns++) await append(ledger, heard, 2)
  remove()
}

/**
 * Begins a log, appends while it integrates, fills a tile, closes, goes on, dies with leaves in the write-ahead log only,
 * replays them, closes. Every file class is made, replaced and removed.
 */
export async function life(disk: CrashDisk, heard: Heard): Promise<void> {
  let ledger = await started(disk, heard)
  await append(ledger, heard, 3)
  await signedUp(ledger)
  await append(ledger, heard, 230)
  await signedUp(ledger)
  await underLoad(ledger, heard)
  await append(ledger, heard, 20)
  await ledger.close().catch(() => undefined)

  ledger = await started(disk, heard)
  await append(ledger, heard, 4)
  await signedUp(ledger)
  for (const count of [5, 7]) await append(ledger, heard, count)

  // Killed by the next boot.
  ledger = await started(disk, heard)
  await append(ledger, heard, 2)
  await ledger.close().catch(() => undefined)
}

/** A start, a leaf and an end. */
export async function comeback(disk: CrashDisk, heard: Heard): Promise<void> {
  const ledger = await started(disk, heard)
  await append(ledger, heard, 1)
  await ledger.close().catch(() => undefined)
}

/** Complaints about the files that are left: none where all promises are kept. */
export async function complaints(image: Image, heard: Heard, strict = false): Promise<string[]> {
  const dir = mkdtempSync(join('/dev/shm', 'ledger-image-'))
  try {
    materialise(image, dir)
    return await complaintsOf(dir, heard, strict)
  } finally {
    rmSync(dir, { recursive: true })
  }
}

async function complaintsOf(dir: string, heard: Heard, strict: boolean): Promise<string[]> {
  const found: string[] = []
  const log = logIn(dir)
  // What a torn end looks like, fsck can't tell from rot, and says so; without a checkpoint there is no log yet.
  if (strict && openReader(log).checkpoint() !== undefined) {
    for (const { file, what } of await fsck(log))
      if (!what.includes('torn')) found.push(`left: ${file}: ${what}`)
  }
  const after = { ...heardNow(heard) }
  try {
    for (let starts = strict ? 2 : 1; starts > 0; starts--) {
      const ledger = await opened(dir, hastyFileSystem, after)
      await append(ledger, after, 3)
      await ledger.close()
    }
  } catch (error) {
    return [...found, `it does not open: ${error}`]
  }
  for (const index of after.twice)
    found.push(`leaf ${index} was acknowledged, and its index given to another`)
  for (const { file, what } of await fsck(log)) found.push(`after a start: ${file}: ${what}`)
  const reader = openReader(log)
  const { size } = verifyCheckpoint(reader.checkpoint()!.note, signer.verifierKey)
  const leaves = [...ledgerEntries(log, 0n, size)].map(({ bytes }) => bytes)
  for (const [index, bytes] of after.acknowledged) {
    if (leaves[Number(index)]?.equals(bytes) !== true)
      found.push(`leaf ${index} was acknowledged, and is missing or another`)
  }
  const node = storedNodes(log, size)
  for (const text of new Set(after.signed)) {
    const [, signedSize, root] = text.split('\n')
    if (BigInt(signedSize!) > size || treeRoot(BigInt(signedSize!), node).toString('base64') !== root)
      found.push(`the signed tree of ${signedSize} leaves is not the beginning of this one`)
  }
  return found
}
