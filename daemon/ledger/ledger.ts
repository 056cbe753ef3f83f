/**
 * The log: append → durable in the WAL → acknowledged → integrated into tiles → signed checkpoint.
 *
 * Memory is constant in the log's size: the right edge of the tree, and the leaves acknowledged since the last
 * integration (bounded). Nothing is signed that was not proved to extend the last signed checkpoint.
 */
import { dirname, join, resolve } from 'node:path'
import { DurableError } from '../base/durable/error.ts'
import { type FileSystem, realFileSystem } from '../base/durable/file-system.ts'
import { makeDirectory, syncDirectory } from '../base/durable/files.ts'
import type { Release } from '../base/durable/lock.ts'
import { messageOf } from '../base/errors.ts'
import type { SignedCheckpoint } from './checkpoint.ts'
import { MAX_ENTRY } from './entry-bundle.ts'
import { LedgerError } from './errors.ts'
import { TILE_DIRECTORY, WAL_DIRECTORY } from './files.ts'
import { type Integrator, integrate, writeState } from './integrate.ts'
import { lockLedger } from './lock.ts'
import { remember, remembered } from './memory.ts'
import { parseVerifierKey } from './note.ts'
import { loadStored, proveConsistent } from './recover.ts'
import { edgeRoot, type RightEdge } from './right-edge.ts'
import { type Signing, signTree } from './sign-tree.ts'
import { Wal } from './wal.ts'
import { leavesOf, type WalBatch } from './wal-frame.ts'
import { replayWal, type TornTail } from './wal-replay.ts'

export interface LedgerOptions extends Signing {
  readonly dir: string
  /** The log's name for ever; also the name of its key. */
  readonly origin: string
  /** A leaf is under a signed checkpoint at most this much later. Default 1000. */
  readonly checkpointIntervalMs?: number
  readonly fs?: FileSystem
}

/** Part of the interval spent waiting for more leaves; the rest is for integrating and signing. */
const WAITING_SHARE = 0.8
/** Acknowledged bytes that are integrated at once instead, and at which appends wait for that. */
const INTEGRATE_AT = 4 << 20
const WAIT_AT = 16 << 20

/**
 * Opens a log, making it (with a signed checkpoint of no leaves) if the directory has none.
 * @throws LedgerError LOCKED, and whatever shows that the files are not what was written and signed.
 */
export async function openLedger(options: LedgerOptions): Promise<Ledger> {
  const { dir, origin, verifierKey, predecessor, fs = realFileSystem } = options
  if (parseVerifierKey(verifierKey).name !== origin) {
    throw new LedgerError(
      'WRONG_ORIGIN',
      `the log key is not named ${origin}`,
      'Name the log key as the origin.',
    )
  }
  for (const path of [dir, join(dir, WAL_DIRECTORY), join(dir, TILE_DIRECTORY)])
    await makeDirectory(path, { fs })
  // One that is there may have been made by a start that was killed before it was durable.
  await syncDirectory(dirname(resolve(dir)), fs)
  const release = await lockLedger(dir, fs)
  try {
    const log = { dir, origin, fs }
    const stored = loadStored(dir, origin, [verifierKey, ...(predecessor ? [predecessor.verifierKey] : [])])
    if (stored.signed === undefined) await writeState(log, stored.edge)
    // Prove before integrating too: tiles must not be written on top of a tree that is not ours.
    else if (stored.edge.size >= stored.signed.size) {
      proveConsistent(dir, stored.signed, stored.edge.size, edgeRoot(stored.edge.levels))
    }
    let edge = stored.edge
    const segments = replayWal(dir, edge.size, fs)
    let step = await segments.next()
    for (; !step.done; step = await segments.next()) {
      if (step.value.length > 0) edge = await integrate(log, edge, step.value)
    }
    const memory = options.memory === undefined ? undefined : remembered(options.memory, origin)
    for (const signed of [stored.signed, memory]) {
      if (signed !== undefined) proveConsistent(dir, signed, edge.size, edgeRoot(edge.levels))
    }
    const ledger = new Ledger(options, release, { edge, signed: stored.signed, cut: step.value })
    await ledger.start()
    return ledger
  } catch (error) {
    await release()
    throw error
  }
}

export class Ledger {
  /** What a crash had left half-written and opening cut off: never acknowledged. */
  readonly cut: TornTail | undefined
  readonly #options: LedgerOptions
  readonly #log: Integrator
  readonly #release: Release
  readonly #listeners = new Set<(checkpoint: SignedCheckpoint) => void>()
  #wal: Wal | undefined
  #edge: RightEdge
  #signed: SignedCheckpoint | undefined
  /** Acknowledged leaves that are not in the edge yet. */
  #pending: WalBatch[] = []
  #pendingBytes = 0
  /** Acknowledged. */
  #size: bigint
  /** Appends that wait for room, and how they are told to look again. */
  readonly #waiting = new Set<Promise<unknown>>()
  #lookAgain: (() => void)[] = []
  #timer: NodeJS.Timeout | undefined
  #advancing: Promise<void> | undefined
  #trouble: LedgerError | DurableError | undefined
  #closing: Promise<void> | undefined

  /** For {@link openLedger}. */
  constructor(
    options: LedgerOptions,
    release: Release,
    stored: { edge: RightEdge; signed: SignedCheckpoint | undefined; cut: TornTail | undefined },
  ) {
    this.#options = options
    this.#log = { dir: options.dir, origin: options.origin, fs: options.fs ?? realFileSystem }
    this.#release = release
    this.#edge = stored.edge
    this.#size = stored.edge.size
    this.#signed = stored.signed
    this.cut = stored.cut
  }

  /** Leaves acknowledged. */
  get size(): bigint {
    return this.#size
  }

  /** The newest signed checkpoint; one of size 0 in a log without leaves. */
  get signed(): SignedCheckpoint | undefined {
    return this.#signed
  }

  /**
   * Why nothing more can be acknowledged, or why the last attempt to integrate or sign failed (which is tried
   * again); undefined when all is well.
   */
  get trouble(): LedgerError | DurableError | undefined {
    return this.#wal?.failure ?? this.#trouble
  }

  /** For {@link openLedger}: signs what was replayed, then takes appends. */
  async start(): Promise<void> {
    const { dir, fs } = this.#log
    if (this.#signed === undefined || this.#edge.size !== this.#signed.size) await this.#sign()
    else if (this.#options.memory !== undefined) await remember(this.#options.memory, this.#signed, fs)
    const onDurable = (batch: WalBatch): void => this.#acknowledged(batch)
    const wal = await Wal.open({ dir, fs, next: this.#edge.size, onDurable })
    try {
      await wal.removeOld()
    } catch (error) {
      await wal.close()
      throw error
    }
    this.#wal = wal
  }

  /**
   * Appends a leaf; resolves with its index once it is durable.
   * @throws LedgerError LEAF_TOO_LONG, CLOSED, WRITE_FAILED, or what keeps the log from being integrated.
   */
  append(leaf: Uint8Array): Promise<bigint> {
    const wal = this.#wal
    if (leaf.length > MAX_ENTRY) return Promise.reject(tooLong(leaf))
    if (this.#closing !== undefined || wal === undefined)
      return Promise.reject(new LedgerError('CLOSED', 'the log is closed', 'Open it again.'))
    const copy = Buffer.from(leaf)
    if (this.#pendingBytes <= WAIT_AT) return wal.append(copy)
    const appended = this.#room().then(() => wal.append(copy))
    const settled: Promise<unknown> = appended
      .catch(() => undefined)
      .finally(() => this.#waiting.delete(settled))
    this.#waiting.add(settled)
    return appended
  }

  async #room(): Promise<void> {
    while (this.#pendingBytes > WAIT_AT) {
      const some = new Promise<void>((resolve) => this.#lookAgain.push(resolve))
      await Promise.race([some, this.#advance()])
    }
  }

  /** Calls back after each new checkpoint is durable; returns the inverse. */
  onCheckpoint(listener: (checkpoint: SignedCheckpoint) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Waits for appends under way, integrates and signs them, and gives the directory free.
   * @throws what kept it from integrating or signing; the directory is free even then, and nothing is lost.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    try {
      await Promise.all(this.#waiting)
      await this.#wal?.settled()
      clearTimeout(this.#timer)
      await this.#advancing?.catch(() => undefined)
      await this.#advance()
      clearTimeout(this.#timer)
    } finally {
      clearTimeout(this.#timer)
      await this.#wal?.close()
      await this.#release()
    }
  }

  #acknowledged(batch: WalBatch): void {
    this.#pending.push(batch)
    this.#pendingBytes += batch.bytes.length
    this.#size += BigInt(batch.count)
    if (this.#pendingBytes >= INTEGRATE_AT && this.#trouble === undefined)
      void this.#advance().catch(() => undefined)
    else this.#schedule()
  }

  #schedule(): void {
    this.#timer ??= setTimeout(
      () => {
        this.#timer = undefined
        void this.#advance().catch(() => undefined)
      },
      Math.max(1, (this.#options.checkpointIntervalMs ?? 1000) * WAITING_SHARE),
    )
  }

  /** Integrates and signs what is acknowledged; calls at the same time share one run. */
  #advance(): Promise<void> {
    this.#advancing ??= this.#integrateAndSign()
      .then(() => {
        this.#trouble = undefined
      })
      .catch((error: unknown) => {
        this.#trouble = troubleOf(error)
        throw this.#trouble
      })
      .finally(() => {
        this.#advancing = undefined
        if (this.#closing === undefined && (this.#pending.length > 0 || this.#trouble !== undefined))
          this.#schedule()
      })
    return this.#advancing
  }

  async #integrateAndSign(): Promise<void> {
    if (this.#pending.length > 0) {
      const end = await this.#wal!.roll()
      while (this.#edge.size < end) await this.#integrateSome(end)
      await this.#wal!.removeOld()
    }
    if (this.#edge.size !== this.#signed?.size) await this.#sign()
  }

  /** A bounded number of batches, so that appends which wait for room don't wait for all of them. */
  async #integrateSome(end: bigint): Promise<void> {
    let count = 0
    for (let bytes = 0; bytes < INTEGRATE_AT && count < this.#pending.length; count++) {
      if (this.#pending[count]!.first >= end) break
      bytes += this.#pending[count]!.bytes.length
    }
    const batches = this.#pending.slice(0, count)
    this.#edge = await integrate(this.#log, this.#edge, leavesOf(batches))
    this.#pending.splice(0, count)
    for (const { bytes } of batches) this.#pendingBytes -= bytes.length
    for (const look of this.#lookAgain.splice(0)) look()
  }

  async #sign(): Promise<void> {
    const signed = await signTree(this.#log, this.#options, this.#edge, this.#signed)
    this.#signed = signed
    // Apart from this call chain: a listener's error is its own.
    for (const listener of this.#listeners) queueMicrotask(() => listener(signed))
  }
}

function tooLong(leaf: Uint8Array): LedgerError {
  const remedy = `Commit to large content by its hash; a leaf has at most ${MAX_ENTRY} bytes.`
  return new LedgerError('LEAF_TOO_LONG', `a leaf of ${leaf.length} bytes`, remedy)
}

function troubleOf(error: unknown): LedgerError | DurableError {
  if (error instanceof LedgerError || error instanceof DurableError) return error
  const remedy = 'Look at the kernel log for disk errors, then restart.'
  return new LedgerError('WRITE_FAILED', `the log cannot go on: ${messageOf(error)}`, remedy, error)
}
