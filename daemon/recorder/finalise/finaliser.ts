/**
 * Journalled exchanges → body store → record → ledger → index, in batches: packs are synced before a leaf is
 * appended, the ledger answers before the index is written, and only then does the journal let go. A batch
 * that fails is tried again as a whole; ids make that safe, for what the ledger has is never appended twice.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Policy } from '../../../policies/policy.ts'
import { DurableError } from '../../base/durable/error.ts'
import { messageOf } from '../../base/errors.ts'
import type { Health } from '../../base/health.ts'
import type { SignedCheckpoint } from '../../ledger/checkpoint.ts'
import type { Committed } from '../bodies/place.ts'
import { systemCode } from '../errors.ts'
import { type IndexedLeaf, indexedLeaf } from '../index/row.ts'
import type { FinaliseRequest } from '../intake/intake.ts'
import { Keeping } from '../keeping/keeping.ts'
import type { LogRecord } from '../record.ts'
import { assemble } from './assemble.ts'
import { ExchangeReader } from './exchange-reader.ts'
import { encodeRecord } from './fit.ts'
import { closeStores, openStores, type Stores, type StoresOptions } from './stores.ts'
import { rfc3339 } from './time.ts'

export type Job =
  | { readonly type: 'exchange'; readonly request: FinaliseRequest }
  /** A record that is made elsewhere: audit, gap. */
  | { readonly type: 'record'; readonly record: LogRecord }

export interface FinaliserEvents {
  /** These are durable in ledger and body store. @param size leaves of the log that has them */
  done(ids: string[], size: bigint): void
  checkpoint(checkpoint: SignedCheckpoint): void
  log(line: string): void
}

export interface FinaliserOptions extends StoresOptions {
  /** The journal's directory. */
  readonly journal: string
  /** In force; all is kept where absent. */
  readonly policy?: Policy | undefined
  /** Milliseconds between attempts, doubling. */
  readonly retry?: { readonly first: number; readonly most: number }
}

/** What is done between batches, with every record that came before it in ledger and index. */
interface Task {
  readonly type: 'task'
  run(stores: Stores): Promise<void>
  failed(error: unknown): void
}

const MAX_BATCH = 256
/**
 * How long the first job of a batch waits for others. The journal has it already, so nobody waits; alone it would
 * cost a round of syncs, 2.5 ms of CPU that its agent's next call has to share the machine with (measured).
 */
const GATHER_MS = 100
const RETRY_MS = { first: 500, most: 10_000 }

export class Finaliser {
  readonly #options: FinaliserOptions
  readonly #events: FinaliserEvents
  readonly #reader: ExchangeReader
  readonly keeping: Keeping
  #stores: Stores
  #queue: (Job | Task)[] = []
  #running: Promise<void> | undefined
  #trouble: string | undefined
  /** After an error nobody knows what the stores hold, until they are opened again. */
  #failed = false
  /** Ends waits between attempts. */
  readonly #hurry = new AbortController()

  private constructor(options: FinaliserOptions, stores: Stores, events: FinaliserEvents) {
    this.#options = options
    this.#events = events
    this.#reader = new ExchangeReader(options.journal, options.bodyKey)
    this.keeping = new Keeping(options.policy)
    this.#stores = stores
    this.#watch()
  }

  static async open(options: FinaliserOptions, events: FinaliserEvents): Promise<Finaliser> {
    return new Finaliser(options, await openStores(options, false), events)
  }

  get stores(): Stores {
    return this.#stores
  }

  health(): Health[] {
    const { ledger, unfinished } = this.#stores
    const trouble = this.#trouble ?? ledger.trouble?.message
    const found: Health[] = []
    if (trouble !== undefined) {
      found.push({
        code: 'recorder.finalise',
        severity: 'error',
        title: `Records wait in the journal (${trouble})`,
        remedy: 'Free space on the file system of the state directory, or look at the kernel log.',
      })
    }
    if (unfinished !== undefined) {
      found.push({
        code: 'recorder.erasure',
        severity: 'error',
        title: `Content that was erased is still on disk (${unfinished.message})`,
        remedy: 'Restore this pack from a backup and restart the gateway: it then finishes the erasure.',
      })
    }
    return found
  }

  push(job: Job): void {
    this.#push(job)
  }

  /** Runs it when what was pushed before is in the log, and nothing else at the same time. @throws what it throws */
  between<T>(run: (stores: Stores) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#push({ type: 'task', run: async (stores) => resolve(await run(stores)), failed: reject })
    })
  }

  #push(job: Job | Task): void {
    this.#queue.push(job)
    this.#running ??= this.#run()
  }

  /** Finishes what is queued (one attempt each, if the disk refuses), signs and closes. */
  async close(): Promise<void> {
    this.#hurry.abort()
    await this.#running
    this.#reader.close()
    await closeStores(this.#stores)
  }

  async #run(): Promise<void> {
    const retry = this.#options.retry ?? RETRY_MS
    let wait = retry.first
    while (this.#queue.length > 0 || this.#failed) {
      try {
        if (this.#failed) await this.#reopen()
        this.#failed = false
        await this.#next()
        this.#trouble = undefined
        wait = retry.first
      } catch (error) {
        this.#failed = true
        this.#trouble = `${systemCode(error)}: ${messageOf(error)}`
        this.#events.log(`finalising failed, will be tried again: ${messageOf(error)}`)
        if (this.#hurry.signal.aborted) break
        await this.#pause(wait)
        wait = Math.min(wait * 2, retry.most)
      }
    }
    for (const job of this.#queue) if (job.type === 'task') job.failed(new Error('the recorder ends'))
    this.#reader.close()
    // At once: what is pushed from here on needs another run.
    this.#running = undefined
  }

  async #next(): Promise<void> {
    const [first] = this.#queue
    if (first === undefined) return
    if (first.type === 'task') {
      this.#queue.shift()
      await this.#perform(first)
      return
    }
    if (this.#queue.length < MAX_BATCH) await this.#pause(GATHER_MS)
    const end = this.#queue.findIndex(({ type }) => type === 'task')
    const batch = this.#queue.slice(0, Math.min(MAX_BATCH, end === -1 ? MAX_BATCH : end)) as Job[]
    const ids = await this.#process(batch)
    this.#queue.splice(0, batch.length)
    this.#events.done(ids, this.#stores.ledger.size)
  }

  /** Not tried again: who asked for it hears of the error. */
  async #perform(task: Task): Promise<void> {
    try {
      await this.#stores.packs.ready()
      await task.run(this.#stores)
    } catch (error) {
      task.failed(error)
      throw error
    }
  }

  /** Closing ends it at once. */
  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#hurry.signal }).catch(() => {})
  }

  async #process(batch: readonly Job[]): Promise<string[]> {
    const { index, packs, ledger } = this.#stores
    await packs.ready()
    const leaves: { record: LogRecord; bytes: Buffer }[] = []
    const seen = new Set<string>()
    let committed: Committed
    try {
      for (const job of batch) {
        const id = job.type === 'exchange' ? job.request.id : job.record.id
        if (seen.has(id) || index.has(id)) continue
        seen.add(id)
        await packs.turn()
        const record =
          job.type === 'exchange' ? await this.#assemble(job.request) : this.keeping.named(job.record)
        leaves.push({ record, bytes: encodeRecord(record) })
      }
      committed = await packs.commit()
    } catch (error) {
      await packs.abandon()
      throw error
    }
    let added: IndexedLeaf[] = []
    try {
      const indexes = await all(leaves.map(({ bytes }) => ledger.append(bytes)))
      added = leaves.map(({ record, bytes }, i) => indexedLeaf(Number(indexes[i]), bytes, record))
    } finally {
      index.add(added, committed)
    }
    return batch.map((job) => (job.type === 'exchange' ? job.request.id : job.record.id))
  }

  /** An exchange that can't be made a record of for a reason of its own must not hold up the others. */
  async #assemble({ id, ranges, failure }: FinaliseRequest): Promise<LogRecord> {
    const { packs: store, keys } = this.#stores
    try {
      const frames = () => this.#reader.frames(id, ranges)
      return await this.keeping.keep(frames, (manner) => assemble({ id, ...manner, store, keys, failure }))
    } catch (error) {
      if (isFault(error)) throw error
      this.#events.log(`exchange ${id}: ${messageOf(error)}`)
      const time = rfc3339(Date.now())
      const cause = `an exchange could not be made a record of: ${messageOf(error)}`
      return { v: 1, id, time, kind: 'gap', cause, from: time, to: time }
    }
  }

  /**
   * After an error nobody knows which leaves the ledger has: it is opened again, and the index learns from it
   * what must not be appended twice.
   */
  async #reopen(): Promise<void> {
    await closeStores(this.#stores).catch(() => {})
    this.#stores = await openStores(this.#options, true)
    this.#watch()
  }

  #watch(): void {
    this.#stores.ledger.onCheckpoint((checkpoint) => this.#events.checkpoint(checkpoint))
  }
}

/** True where disk, ledger or index failed: nothing to do with the exchange, and worth another attempt. */
function isFault(error: unknown): boolean {
  const sqlite = (error as { code?: unknown }).code === 'ERR_SQLITE_ERROR'
  return sqlite || error instanceof DurableError || systemCode(error) !== 'UNKNOWN'
}

/** Promise.all that waits for the rest where one fails. */
async function all<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(promises)
  return settled.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}
