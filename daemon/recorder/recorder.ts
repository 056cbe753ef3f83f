/** The recorder's parts, put together: recovery, intake, finaliser, chain-writer, status. */
import { utimesSync } from 'node:fs'
import path from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Policy } from '../../policies/policy.ts'
import { startAdminServer } from '../admin/admin-server.ts'
import type { LocalServer } from '../admin/local-server.ts'
import { startMetricsServer } from '../admin/metrics-server.ts'
import { startStatusServer } from '../admin/status-server.ts'
import { realFileSystem } from '../base/durable/file-system.ts'
import { makeDirectory } from '../base/durable/files.ts'
import { messageOf } from '../base/errors.ts'
import type { Health } from '../base/health.ts'
import type { ChainWriterState } from '../chain-writer/chain-writer-state.ts'
import type { BoundedServer } from '../http/bounded-server.ts'
import { Anchoring } from './anchoring/anchoring.ts'
import type { AnchoringState } from './anchoring/anchoring-watch.ts'
import type { Eraser } from './erasure/erasure-record.ts'
import { evidenceRecord } from './evidence.ts'
import type { Job } from './finalise/finaliser.ts'
import type { FinaliserState, FinaliseStart, FromFinaliser, ToFinaliser } from './finalise/thread.ts'
import { NOTHING_CAPTURED } from './index/captured.ts'
import { Intake } from './intake/intake.ts'
import { Journal } from './intake/journal.ts'
import { recoverJournal } from './intake/recover.ts'
import type { LostSpan } from './intake/room.ts'
import { IntakeServer } from './intake/server.ts'
import { gapsSince } from './last-end.ts'
import type { ErasureAnswer, Evidence, RecorderStart } from './messages.ts'
import { Pending } from './pending.ts'
import { type DiskState, DiskWatch } from './retention/disk-watch.ts'

export interface RecorderState extends Omit<FinaliserState, 'health'> {
  readonly disk: DiskState | undefined
  /** Exchanges journalled and ended that are not in the log yet. */
  readonly pending: number
  /** What the chain-writer says of itself. */
  readonly chain: ChainWriterState | undefined
  readonly anchoring: AnchoringState | undefined
  readonly health: readonly Health[]
}

export interface RecorderEvents {
  log(line: string): void
  state(state: RecorderState): void
  /** These ids of {@link Recorder.take} are in the log. */
  recorded(ids: string[]): void
  /** The process can't go on. */
  fatal(error: unknown): void
}

const STATE_MS = 1000
/** How exactly the end of a killed process is known: the journal's time stamp is renewed so often. */
const ALIVE_MS = 5000
const STOP_MS = 20_000

export class Recorder {
  readonly #events: RecorderEvents
  readonly #finaliser: Worker
  readonly #pending = new Pending()
  #journal!: Journal
  #intake!: Intake
  #server: IntakeServer | undefined
  #status: LocalServer | undefined
  #admin: LocalServer | undefined
  #metrics: BoundedServer | undefined
  #anchoring: Anchoring | undefined
  #timers: NodeJS.Timeout[] = []
  #finaliserState: FinaliserState = {
    records: 0,
    treeSize: '0',
    checkpointTime: undefined,
    captured: NOTHING_CAPTURED,
    bodyBytes: 0,
    health: [],
  }
  /** Ids of evidence whose sender wants to hear of it. */
  readonly #told = new Set<string>()
  readonly #erasures: ((answer: ErasureAnswer) => void)[] = []
  readonly #disk: DiskWatch
  #supervisor: unknown
  #said = ''
  #stopped = false

  private constructor(start: RecorderStart, events: RecorderEvents) {
    this.#events = events
    const { stateDir: dir, bodyKey, logKey, origin, verifierKey, checkpointIntervalMs } = start
    const journal = path.join(dir, 'journal')
    const { retention, policy } = start
    const { predecessor } = start
    const keys = { bodyKey, logKey, origin, verifierKey, predecessor }
    const workerData = { dir, journal, ...keys, checkpointIntervalMs, retention, policy }
    this.#disk = new DiskWatch(dir, retention.reserve)
    this.#finaliser = new Worker(new URL('./finalise/thread.ts', import.meta.url), {
      workerData: workerData satisfies FinaliseStart,
    })
    this.#finaliser.on('error', (error) => events.fatal(error))
    this.#finaliser.on('exit', () => {
      if (!this.#stopped) events.fatal(new Error('the finaliser ended'))
    })
  }

  /** @throws what has to be put right before anything can be recorded. */
  static async start(start: RecorderStart, events: RecorderEvents): Promise<Recorder> {
    await makeDirectory(start.stateDir, { mode: 0o700 })
    const recorder = new Recorder(start, events)
    await recorder.#begin(start)
    return recorder
  }

  /** Puts what the supervisor says into the log; {@link RecorderEvents.recorded} follows where it has an id. */
  take(evidence: Evidence): void {
    if (evidence.id !== undefined) this.#told.add(evidence.id)
    this.#post({ type: 'record', record: evidenceRecord(evidence) })
  }

  /** Another policy is in force. */
  policy(policy: Policy): void {
    this.#send({ type: 'policy', policy })
  }

  /** Erases the content of records; `answered` hears of each step, and last of the end. */
  erase(ids: readonly string[], by: Eraser, answered: (answer: ErasureAnswer) => void): void {
    this.#erasures.push(answered)
    this.#send({ type: 'erase', ids, by })
  }

  /** What the status document says of the supervisor. */
  supervisor(state: unknown): void {
    this.#supervisor = state
  }

  /** @returns false where something waits in the journal for the next start. */
  async stop(): Promise<boolean> {
    for (const timer of this.#timers) clearInterval(timer)
    await this.#admin?.close()
    await this.#server?.close()
    await this.#intake.drain()
    await this.#pending.idle(STOP_MS)
    this.#stopped = true
    const ended = new Promise((resolve) => this.#finaliser.once('exit', resolve))
    this.#send({ type: 'close' })
    await ended
    await this.#journal.close()
    await this.#anchoring?.stop()
    await this.#metrics?.close()
    await this.#status?.close()
    return this.#pending.size === 0
  }

  async #begin(start: RecorderStart): Promise<void> {
    const opened = this.#opened()
    const dir = path.join(start.stateDir, 'journal')
    // The ledger's lock comes first: the journal of a running recorder is none of ours.
    const { lastTime, lastAudit, cut, size } = await opened
    this.#anchoring = new Anchoring(start, BigInt(size), {
      log: this.#events.log,
      admission: (admission) => this.#server?.admit(admission),
    })
    const recovered = recoverJournal(dir, start.bodyKey)
    const options = { dir, bodyKey: start.bodyKey, fs: realFileSystem }
    this.#journal = await Journal.open(
      options,
      [...recovered.exchanges.values()].map((e) => e.ranges),
    )
    for (const [id, { ranges }] of recovered.exchanges)
      this.#post({ type: 'exchange', request: { id, ranges } })
    for (const gap of gapsSince({ recovered, lastTime, lastAudit, cut }, Date.now())) this.take(gap)
    this.#intake = new Intake(this.#journal, {
      finalise: (request) => this.#post({ type: 'exchange', request }),
      lost: (span) => this.#lost(span),
      held: (id, peer, exchange) => this.#anchoring?.hold(id, peer, exchange),
      gone: (peer) => this.#anchoring?.gone(peer),
      pause: (paused) => this.#server?.pause(paused),
    })
    const { socket, adminSocket } = start
    const watchSpace = () => {
      this.#intake.tidy()
      this.#disk.look(this.#intake.room, this.#journal, this.#events.log)
      if (this.#intake.room.refusing) this.#intake.relieve()
    }
    watchSpace()
    if (socket !== undefined) {
      this.#server = await IntakeServer.listen(socket, this.#intake, this.#events.log)
      this.#server.admit(this.#anchoring.admission)
    }
    if (adminSocket !== undefined) {
      this.#admin = await startAdminServer(adminSocket, (...asked) => this.erase(...asked))
    }
    if (start.statusSocket !== undefined) {
      const document = () => ({ ...this.#state(), supervisor: this.#supervisor })
      this.#status = await startStatusServer(start.statusSocket, document)
    }
    if (start.metrics !== undefined) {
      const measured = () => ({ recorder: this.#state(), health: this.#state().health })
      this.#metrics = startMetricsServer(start.metrics, measured, this.#events.log)
    }
    this.#timers = [
      setInterval(watchSpace, STATE_MS),
      setInterval(() => this.#sayState(), STATE_MS),
      setInterval(() => this.#anchoring?.look(), STATE_MS),
      setInterval(() => this.#stayAlive(), ALIVE_MS),
    ]
    this.#sayState()
  }

  #opened(): Promise<Extract<FromFinaliser, { type: 'opened' }>> {
    return new Promise((resolve, reject) => {
      this.#finaliser.once('error', reject)
      this.#finaliser.on('message', (message: FromFinaliser) => {
        if (message.type === 'opened') resolve(message)
        else this.#hear(message)
      })
    })
  }

  #hear(message: Exclude<FromFinaliser, { type: 'opened' }>): void {
    if (message.type === 'done') this.#done(message.ids, BigInt(message.size))
    else if (message.type === 'checkpoint') this.#anchoring?.checkpoint(message)
    else if (message.type === 'state') this.#finaliserState = message.state
    else if (message.type === 'log') this.#events.log(message.line)
    else this.#erasing(message)
  }

  /** Answers come in the order of the questions. */
  #erasing(answer: ErasureAnswer): void {
    this.#erasures[0]?.(answer)
    if (answer.type !== 'erasing') this.#erasures.shift()
  }

  #done(ids: readonly string[], size: bigint): void {
    this.#anchoring?.recorded(ids, size)
    for (const ranges of this.#pending.done(ids)) {
      this.#journal.release(ranges).catch((error) => this.#events.log(`journal: ${messageOf(error)}`))
    }
    const recorded = ids.filter((id) => this.#told.delete(id))
    if (recorded.length > 0) this.#events.recorded(recorded)
  }

  #lost({ code, count, from, to }: LostSpan): void {
    const what = count === 1 ? 'one exchange' : `${count} exchanges`
    this.take({ type: 'gap', cause: `${code}: ${what} could not be recorded`, from, to })
  }

  #post(job: Job): void {
    if (job.type === 'exchange') this.#pending.add(job.request.id, job.request.ranges)
    else this.#pending.add(job.record.id)
    this.#send(job)
  }

  #send(message: ToFinaliser): void {
    this.#finaliser.postMessage(message)
  }

  #state(): RecorderState {
    const anchoring = this.#anchoring?.state()
    return {
      ...this.#finaliserState,
      pending: this.#pending.size,
      disk: this.#disk.state,
      chain: anchoring?.chain,
      anchoring: anchoring?.anchoring,
      health: [
        ...this.#disk.health,
        ...this.#intake.health(),
        ...this.#finaliserState.health,
        ...(this.#anchoring?.health() ?? []),
      ],
    }
  }

  #sayState(): void {
    // What is free changes all the time, and who asks is told.
    const state = { ...this.#state(), disk: undefined }
    const text = JSON.stringify(state, (_, value) => (typeof value === 'bigint' ? String(value) : value))
    if (text === this.#said) return
    this.#said = text
    this.#events.state(JSON.parse(text) as RecorderState)
  }

  /** The segment's time stamp says how long this process lived, should it be killed. */
  #stayAlive(): void {
    const file = this.#journal.activePath
    const now = new Date()
    try {
      if (file !== undefined) utimesSync(file, now, now)
    } catch (error) {
      this.#events.log(`journal: ${messageOf(error)}`)
    }
  }
}
