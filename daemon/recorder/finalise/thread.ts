/** The finaliser as a worker thread: hashing, compressing and parsing off the thread that acknowledges. */

import { parentPort, workerData } from 'node:worker_threads'
import type { Policy } from '../../../policies/policy.ts'
import { workInBackground } from '../../base/background.ts'
import { realFileSystem } from '../../base/durable/file-system.ts'
import type { Health } from '../../base/health.ts'
import { blankJournal } from '../erasure/blank-journal.ts'
import { eraseContent } from '../erasure/erase.ts'
import type { Eraser } from '../erasure/erasure-record.ts'
import { failureOf } from '../erasure/failure.ts'
import type { ErasureProgress } from '../erasure/remove-erased.ts'
import { type Captured, CapturedLately, NOTHING_CAPTURED } from '../index/captured.ts'
import type { ErasureAnswer } from '../messages.ts'
import { keepRetention, packLimits, type RetentionSettings } from '../retention/keeper.ts'
import { sizeOf } from '../retention/retention.ts'
import { Finaliser, type Job } from './finaliser.ts'
import type { StoresOptions } from './stores.ts'

export type FinaliseStart = Omit<StoresOptions, 'fs' | 'packMs' | 'packBytes'> & {
  readonly journal: string
  readonly retention: RetentionSettings
  readonly policy?: Policy | undefined
}

export type ToFinaliser =
  | Job
  /** Another policy is in force. */
  | { readonly type: 'policy'; readonly policy: Policy }
  | { readonly type: 'erase'; readonly ids: readonly string[]; readonly by: Eraser }
  | { readonly type: 'close' }

export interface FinaliserState {
  readonly records: number
  readonly treeSize: string
  /** When the newest checkpoint was signed by this process, RFC 3339. */
  readonly checkpointTime: string | undefined
  readonly captured: Captured
  /** Bytes of all packs together. */
  readonly bodyBytes: number
  readonly health: readonly Health[]
}

export type FromFinaliser =
  | {
      readonly type: 'opened'
      /** Time of the newest record, RFC 3339. */
      readonly lastTime: string | undefined
      /** What the gateway did last, as its log has it. */
      readonly lastAudit: { readonly event: string; readonly time: string } | undefined
      /** What a crash had left half-written in the ledger's WAL, and opening cut off. */
      readonly cut: string | undefined
      /** Leaves of the log. */
      readonly size: string
    }
  /** `size`: leaves of the log that has them. */
  | { readonly type: 'done'; readonly ids: string[]; readonly size: string }
  | { readonly type: 'checkpoint'; readonly size: string; readonly root: string; readonly note: string }
  | { readonly type: 'state'; readonly state: FinaliserState }
  /** Of the erasures asked for, in their order. */
  | ErasureAnswer
  | { readonly type: 'log'; readonly line: string }

const STATE_MS = 500
/** There may be thousands of packs. */
const SIZE_MS = 10_000

async function run(): Promise<void> {
  workInBackground()
  const port = parentPort!
  const send = (message: FromFinaliser) => port.postMessage(message)
  // Buffers arrive as plain Uint8Arrays.
  const { bodyKey, logKey, predecessor, retention, ...rest } = workerData as FinaliseStart
  const keys = {
    bodyKey: Buffer.from(bodyKey),
    logKey: Buffer.from(logKey),
    predecessor: predecessor && {
      verifierKey: predecessor.verifierKey,
      logKey: predecessor.logKey && Buffer.from(predecessor.logKey),
    },
  }
  const start = { ...rest, ...packLimits(retention), ...keys, fs: realFileSystem }
  let checkpointTime: string | undefined
  const finaliser = await Finaliser.open(start, {
    done: (ids, size) => send({ type: 'done', ids, size: String(size) }),
    checkpoint: ({ size, root, note }) => {
      checkpointTime = new Date().toISOString()
      send({ type: 'checkpoint', size: String(size), root: root.toString('hex'), note })
    },
    log: (line) => send({ type: 'log', line }),
  })
  const log = (line: string) => send({ type: 'log', line })
  const endRetention = keepRetention(finaliser, start.dir, retention, log)
  /** The journal is of another thread, but what is erased it needs no more. */
  const erase = (ids: readonly string[], by: Eraser) =>
    finaliser.between(async (stores) => {
      const progress = (state: ErasureProgress) => send({ type: 'erasing', progress: state })
      const result = await eraseContent(stores, stores, ids, by, progress)
      const { journal: dir, bodyKey, fs } = start
      await blankJournal({ dir, bodyKey, fs }, ids)
      return result
    })
  const { index, ledger } = finaliser.stores
  const cut = ledger.cut && `${ledger.cut.file}: ${ledger.cut.bytes} bytes at ${ledger.cut.offset}`
  send({
    type: 'opened',
    lastTime: index.lastTime(),
    lastAudit: index.lastAudit(),
    cut,
    size: String(ledger.size),
  })
  const newest = ledger.signed
  if (newest !== undefined) {
    const { size, root, note } = newest
    send({ type: 'checkpoint', size: String(size), root: root.toString('hex'), note })
  }
  const lately = new CapturedLately()
  let captured = NOTHING_CAPTURED
  let bodyBytes = 0
  let measured = Number.NEGATIVE_INFINITY
  const look = () => {
    try {
      captured = lately.look(finaliser.stores.index.database)
      if (performance.now() - measured < SIZE_MS) return
      bodyBytes = sizeOf(finaliser.stores)
      measured = performance.now()
    } catch {
      // The stores are being opened again after an error, which health tells.
    }
  }
  const state = (): FinaliserState => {
    look()
    const { ledger: open } = finaliser.stores
    return {
      records: Number(open.size),
      treeSize: String(open.signed?.size ?? 0n),
      checkpointTime,
      captured,
      bodyBytes,
      health: finaliser.health(),
    }
  }
  let said = ''
  const say = () => {
    const now = state()
    const text = JSON.stringify(now)
    if (text !== said) send({ type: 'state', state: now })
    said = text
  }
  say()
  const timer = setInterval(say, STATE_MS)
  port.on('message', (message: ToFinaliser) => {
    if (message.type === 'policy') return finaliser.keeping.use(message.policy)
    if (message.type === 'erase') {
      erase(message.ids, message.by).then(
        (result) => send({ type: 'erased', result }),
        (error: unknown) => send({ type: 'erase-failed', error: failureOf(error) }),
      )
      return
    }
    if (message.type !== 'close') {
      finaliser.push(message)
      return
    }
    clearInterval(timer)
    const closed = finaliser.close()
    Promise.all([closed, endRetention()]).then(
      () => {
        say()
        port.close()
      },
      (error: unknown) => {
        throw error
      },
    )
  })
}

await run()
