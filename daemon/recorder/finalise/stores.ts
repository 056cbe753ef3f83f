/** Ledger, body store and index, opened together: the index is brought up to the other two. */
import path from 'node:path'
import { type FileSystem, makeDirectory } from '../../base/durable.ts'
import { type Ledger, openLedger } from '../../ledger/ledger.ts'
import { ed25519Signer } from '../../ledger/note.ts'
import { type BodyKeys, bodyKeys } from '../bodies/keys.ts'
import { PackStore, scanPlaces } from '../bodies/pack-store.ts'
import type { Place } from '../bodies/place.ts'
import { INDEX_FILE } from '../index/database.ts'
import { IndexWriter } from '../index/index-writer.ts'
import { ledgerEntries } from '../index/ledger-entries.ts'
import { parseLeaf, type Row, rowOf } from '../index/row.ts'

export interface StoresOptions {
  /** The recorder's directory. */
  readonly dir: string
  readonly bodyKey: Buffer
  /** Ed25519 seed, 32 bytes. */
  readonly logKey: Buffer
  readonly origin: string
  readonly verifierKey: string
  readonly checkpointIntervalMs: number
  readonly fs: FileSystem
}

export interface Stores {
  readonly keys: BodyKeys
  readonly ledger: Ledger
  readonly packs: PackStore
  readonly index: IndexWriter
}

const BATCH = 4096

/**
 * @param afterError true where the stores failed in this process: the index is then looked at page by page.
 * @throws LedgerError, DurableError or the system's error: what has to be put right before recording.
 */
export async function openStores(options: StoresOptions, afterError: boolean): Promise<Stores> {
  const { dir, fs, origin, verifierKey, checkpointIntervalMs } = options
  const keys = bodyKeys(options.bodyKey)
  const packDirectory = path.join(dir, 'packs')
  await makeDirectory(packDirectory, { mode: 0o700, fs })
  const { sign } = ed25519Signer(origin, options.logKey)
  const ledgerDirectory = path.join(dir, 'ledger')
  const ledger = await openLedger({
    dir: ledgerDirectory,
    origin,
    sign,
    verifierKey,
    checkpointIntervalMs,
    fs,
  })
  let index: IndexWriter | undefined
  try {
    index = IndexWriter.open(path.join(dir, INDEX_FILE), afterError)
    if (index.nextLeaf() > Number(ledger.size)) index = index.rebuilt()
    addRecords(index, ledgerDirectory, ledger.size)
    addPlaces(index, packDirectory, keys)
    const packs = await PackStore.open({ dir: packDirectory, keys, fs, index }, index.position())
    return { keys, ledger, packs, index }
  } catch (error) {
    index?.close()
    await ledger.close().catch(() => {})
    throw error
  }
}

/** Gives everything free; the ledger signs what it has. @throws what kept the ledger from signing. */
export async function closeStores({ ledger, packs, index }: Stores): Promise<void> {
  try {
    await ledger.close()
  } finally {
    await packs.close().catch(() => {})
    index.close()
  }
}

function addRecords(index: IndexWriter, dir: string, size: bigint): void {
  let rows: Row[] = []
  for (const { leaf, bytes } of ledgerEntries(dir, BigInt(index.nextLeaf()), size)) {
    rows.push(rowOf(leaf, bytes, parseLeaf(bytes)))
    if (rows.length >= BATCH) {
      index.add(rows)
      rows = []
    }
  }
  index.add(rows)
}

function addPlaces(index: IndexWriter, dir: string, keys: BodyKeys): void {
  let places: Place[] = []
  const add = () => {
    const { pack, offset, length } = places.at(-1)!
    index.add([], { places, position: { pack, offset: offset + length } })
    places = []
  }
  for (const place of scanPlaces(dir, keys.seal, index.position())) {
    places.push(place)
    if (places.length >= BATCH) add()
  }
  if (places.length > 0) add()
}
