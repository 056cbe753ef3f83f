/** The chain-writer's thread, and the watch over how far anchoring is: either may be absent. */
import path from 'node:path'
import { messageOf } from '../../base/errors.ts'
import type { Health } from '../../base/health.ts'
import type { ChainWriterState } from '../../chain-writer/chain-writer-state.ts'
import { newestCosigned } from '../../ledger/cosigned-file.ts'
import { ChainThread, type Checkpoint } from '../chain-thread.ts'
import type { RecorderStart } from '../messages.ts'
import type { Admission } from '../protocol.ts'
import { type AnchoringState, AnchoringWatch } from './anchoring-watch.ts'
import type { Holder } from './held-answers.ts'
import { leafTime } from './leaf-time.ts'

export interface AnchoringEvents {
  log(line: string): void
  /** Whether new exchanges may begin: for all proxies, also those that come later. */
  admission(admission: Admission): void
}

export class Anchoring {
  readonly #start: RecorderStart
  readonly #log: (line: string) => void
  readonly #watch: AnchoringWatch | undefined
  readonly #chain: ChainThread | undefined

  /** @param size leaves of the log */
  constructor(start: RecorderStart, size: bigint, events: AnchoringEvents) {
    this.#start = start
    this.#log = events.log
    const { anchoring: settings, chain, stateDir } = start
    const ledger = path.join(stateDir, 'ledger')
    this.#watch =
      settings &&
      new AnchoringWatch({
        settings,
        size,
        timeOf: (leaf) => leafTime(ledger, leaf),
        now: Date.now,
        admission: events.admission,
      })
    this.#chain = chain && new ChainThread(chain, events.log, () => this.#chainsChanged())
  }

  get admission(): Admission {
    return this.#watch?.admission ?? {}
  }

  /** A checkpoint was signed. */
  checkpoint(checkpoint: Checkpoint): void {
    this.#chain?.checkpoint(checkpoint)
    this.#watch?.checkpoint(BigInt(checkpoint.size))
  }

  /** These records are in a log of so many leaves. */
  recorded(ids: readonly string[], size: bigint): void {
    this.#watch?.recorded(ids, size)
  }

  hold(id: string, holder: Holder, exchange: number): void {
    this.#watch?.answers.hold(id, holder, exchange)
  }

  gone(holder: Holder): void {
    this.#watch?.answers.gone(holder)
  }

  /** With time alone things change, and witnesses say theirs by a file. */
  look(): void {
    const size = this.#cosigned()
    if (size === undefined) this.#watch?.look()
    else this.#watch?.witnessed(size)
  }

  /** Leaves of the newest tree that enough witnesses cosigned. */
  #cosigned(): bigint | undefined {
    const { anchoring, stateDir, verifierKey } = this.#start
    if (!anchoring?.witnesses) return undefined
    const { keys, atLeast } = anchoring.witnesses
    try {
      return newestCosigned(path.join(stateDir, 'ledger'), verifierKey, keys, atLeast)?.checkpoint.size
    } catch (error) {
      this.#log(`the cosigned checkpoint is not believed: ${messageOf(error)}`)
      return undefined
    }
  }

  state(): { readonly chain: ChainWriterState | undefined; readonly anchoring: AnchoringState | undefined } {
    return { chain: this.#chain?.state, anchoring: this.#watch?.state() }
  }

  health(): Health[] {
    return [...(this.#chain?.health() ?? []), ...(this.#watch?.health() ?? [])]
  }

  async stop(): Promise<void> {
    await this.#chain?.stop()
  }

  #chainsChanged(): void {
    if (this.#chain) this.#watch?.chains(this.#chain.state, this.#chain.down)
  }
}
