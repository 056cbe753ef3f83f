/** The chain-writer's thread, and the watch over how far anchoring is: either may be absent. */
import path from 'node:path'
import type { Health } from '../../base/health.ts'
import type { ChainWriterState } from '../../chain-writer/chain-writer-state.ts'
import { ChainThread, type Checkpoint } from '../chain-thread.ts'
import type { RecorderStart } from '../messages.ts'
import type { Admission } from '../protocol.ts'
import { type AnchoringState, AnchoringWatch } from './anchoring-watch.ts'
import type { Holder } from './held-answers.ts'
import { leafTime } from './leaf-time.ts'
import { followWitnessed } from './witnessed.ts'

export interface AnchoringEvents {
  log(line: string): void
  /** Whether new exchanges may begin: for all proxies, also those that come later. */
  admission(admission: Admission): void
}

export class Anchoring {
  readonly #watch: AnchoringWatch | undefined
  readonly #chain: ChainThread | undefined
  readonly #endWitnessed: () => void

  /** @param size leaves of the log */
  constructor(start: RecorderStart, size: bigint, events: AnchoringEvents) {
    const { anchoring: settings, chain, stateDir, witnesses, verifierKey } = start
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
    this.#endWitnessed =
      witnesses === undefined
        ? () => {}
        : followWitnessed({
            ...{ ledger, verifierKey, ...witnesses, log: events.log },
            grew: (cosigned) => this.#watch?.witnessed(cosigned),
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

  look(): void {
    this.#watch?.look()
  }

  state(): { readonly chain: ChainWriterState | undefined; readonly anchoring: AnchoringState | undefined } {
    return { chain: this.#chain?.state, anchoring: this.#watch?.state() }
  }

  health(): Health[] {
    return [...(this.#chain?.health() ?? []), ...(this.#watch?.health() ?? [])]
  }

  async stop(): Promise<void> {
    this.#endWitnessed()
    await this.#chain?.stop()
  }

  #chainsChanged(): void {
    if (this.#chain) this.#watch?.chains(this.#chain.state, this.#chain.down)
  }
}
