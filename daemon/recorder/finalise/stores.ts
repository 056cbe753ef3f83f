/**
 * Ledger, body store and index, opened together: the index is brought up to the other two, and erasures that the log
 * has are finished.
 */
import path from 'node:path'
import type { FileSystem } from '../../base/durable/file-system.ts'
import { makeDirectory } from '../../base/durable/files.ts'
import { LedgerError } from '../../ledger/errors.ts'
import { type Ledger, openLedger } from '../../ledger/ledger.ts'
import { ed25519Signer } from '../../ledger/note.ts'
import { type BodyKeys, bodyKeys } from '../bodies/keys.ts'
import { PackStore } from '../bodies/pack-store.ts'
import { cutUnclaimed } from '../erasure/cut-unclaimed.ts'
import { removeErased } from '../erasure/remove-erased.ts'
import { RecorderError } from '../errors.ts'
import { catchUp } from '../index/catch-up.ts'
import { INDEX_FILE } from '../index/database.ts'
import { IndexWriter } from '../index/index-writer.ts'

export interface StoresOptions {
  /** The recorder's directory. */
  readonly dir: string
  /** See sealed/format.ts. */
  readonly bodyKey: Buffer
  /** Ed25519 seed, 32 bytes. */
  readonly logKey: Buffer
  readonly origin: string
  readonly verifierKey: string
  /** The key that it follows, and its seed while there is one. */
  readonly predecessor?: { readonly verifierKey: string; readonly logKey?: Buffer | undefined } | undefined
  readonly checkpointIntervalMs: number
  /** How old and large a pack may grow: see bodies/pack-store.ts. */
  readonly packMs?: number | undefined
  readonly packBytes?: number | undefined
  readonly fs: FileSystem
}

/** Beside the log's own directory: see ledger/memory.ts. */
export const LAST_CHECKPOINT = 'last-checkpoint'

export interface Stores {
  readonly keys: BodyKeys
  readonly ledger: Ledger
  readonly packs: PackStore
  readonly index: IndexWriter
  /** Of the packs. */
  readonly dir: string
  readonly fs: FileSystem
  /** Why content that the log has as erased is still there. */
  readonly unfinished: RecorderError | undefined
}

/**
 * @param afterError true where the stores failed in this process: the index is then looked at page by page.
 * @throws LedgerError, DurableError or the system's error: what has to be put right before recording.
 */
export async function openStores(options: StoresOptions, afterError: boolean): Promise<Stores> {
  const { dir, fs, origin, verifierKey, checkpointIntervalMs, packMs, packBytes } = options
  const keys = bodyKeys(options.bodyKey)
  const packDirectory = path.join(dir, 'packs')
  await makeDirectory(packDirectory, { mode: 0o700, fs })
  const { sign } = ed25519Signer(origin, options.logKey)
  const { predecessor } = options
  const beside = predecessor?.logKey && ed25519Signer(origin, predecessor.logKey).sign
  const ledgerDirectory = path.join(dir, 'ledger')
  const ledger = await openLedger({
    dir: ledgerDirectory,
    origin,
    sign,
    verifierKey,
    predecessor: predecessor && { verifierKey: predecessor.verifierKey, sign: beside },
    checkpointIntervalMs,
    memory: path.join(dir, LAST_CHECKPOINT),
    fs,
  })
  let index: IndexWriter | undefined
  try {
    index = IndexWriter.open(path.join(dir, INDEX_FILE), afterError)
    refuseShortened(index.nextLeaf(), Number(ledger.size))
    const files = { dir: packDirectory, keys, fs, index }
    await catchUp(files, { dir: ledgerDirectory, size: ledger.size })
    await cutUnclaimed(files)
    const packs = await PackStore.open({ ...files, packMs, packBytes }, index.position())
    const unfinished = await finishErasure({ index, packs }, files)
    return { keys, ledger, packs, index, dir: packDirectory, fs, unfinished }
  } catch (error) {
    index?.close()
    await ledger.close().catch(() => {})
    throw error
  }
}

/** A record is in the index once the log has acknowledged it: where the log has fewer, it lost what was durable. */
function refuseShortened(indexed: number, logged: number): void {
  if (indexed <= logged) return
  throw new LedgerError(
    'ROLLBACK',
    `the index has ${indexed} records, but the log only ${logged}: it was cut short or put back from a copy`,
    'Put the newest copy of the log back. If there is none, `agent-anchor ledger rebuild-index` goes on with what the log has: the records after that are lost.',
  )
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

/** A damaged pack must not keep the gateway from starting. */
async function finishErasure(...[stores, files]: Parameters<typeof removeErased>) {
  try {
    await removeErased(stores, files)
    return undefined
  } catch (error) {
    if (error instanceof RecorderError && error.code === 'DAMAGED') return error
    throw error
  }
}
