/** The chain-writer's thread as the recorder sees it: told of checkpoints, started again when it dies. */
import { Worker } from 'node:worker_threads'
import { messageOf } from '../base/errors.ts'
import type { Health } from '../base/health.ts'
import type { ChainWriterState } from '../chain-writer/chain-writer-state.ts'

export interface Checkpoint {
  readonly type: 'checkpoint'
  readonly size: string
  /** Hex. */
  readonly root: string
  /** The signed note. */
  readonly note: string
}

const RESTART_MS = 5000
const STOP_MS = 3000

export class ChainThread {
  readonly #data: Record<string, unknown>
  readonly #log: (line: string) => void
  readonly #changed: () => void
  #worker: Worker | undefined
  #newest: Checkpoint | undefined
  #death: string | undefined
  #timer: NodeJS.Timeout | undefined
  #stopping = false
  /** What it said of itself last. */
  state: ChainWriterState | undefined

  /** @param changed it said something, or ended */
  constructor(data: Record<string, unknown>, log: (line: string) => void, changed: () => void) {
    this.#data = data
    this.#log = log
    this.#changed = changed
    this.#start()
  }

  checkpoint(checkpoint: Checkpoint): void {
    this.#newest = checkpoint
    this.#worker?.postMessage(checkpoint)
  }

  /** It ended, and isn't up again. */
  get down(): boolean {
    return this.#death !== undefined
  }

  health(): readonly Health[] {
    if (this.#death === undefined) return this.state?.health ?? []
    return [
      {
        code: 'chain.stopped',
        severity: 'warning',
        title: `The chain-writer ended and is started again (${this.#death}); recording goes on`,
        remedy: 'If it stays so, look at the log of the recorder.',
      },
    ]
  }

  async stop(): Promise<void> {
    this.#stopping = true
    clearTimeout(this.#timer)
    const worker = this.#worker
    if (worker === undefined) return
    const ended = new Promise((resolve) => worker.once('exit', resolve))
    worker.postMessage({ type: 'stop' })
    const timer = setTimeout(() => void worker.terminate(), STOP_MS)
    await ended
    clearTimeout(timer)
  }

  #start(): void {
    const worker = new Worker(new URL('../chain-writer/thread.ts', import.meta.url), {
      workerData: this.#data,
    })
    this.#worker = worker
    worker.on('message', (state: ChainWriterState) => {
      this.#death = undefined
      this.state = state
      this.#changed()
    })
    worker.on('error', (error) => {
      this.#death = messageOf(error)
      this.#log(`chain-writer: ${messageOf(error)}`)
    })
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined
      if (this.#stopping) return
      this.#death ??= 'it ended by itself'
      this.#changed()
      this.#timer = setTimeout(() => this.#start(), RESTART_MS)
    })
    if (this.#newest !== undefined) worker.postMessage(this.#newest)
  }
}
