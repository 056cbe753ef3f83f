/**
 * Has the newest checkpoint cosigned: all witnesses that are due are asked at once for the same one, so that their
 * cosignatures stand together; it is kept as soon as there are enough. Signing and recording wait for none of it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../base/errors.ts'
import type { Cosigning } from '../http/messages.ts'
import type { SignedCheckpoint } from '../ledger/checkpoint.ts'
import { readCosigned, writeCosigned } from '../ledger/cosigned-file.ts'
import type { LedgerReader } from '../ledger/reader.ts'
import type { Witness } from './ask.ts'

/** How often the log is looked at. */
const LOOK_MS = 250
/** A witness that failed is asked again after the first, doubling to the longest. */
const FIRST_MS = 500
const LONGEST_MS = 60_000
/** How long a round waits for more than enough. */
const GRACE_MS = 1000

export interface RoundsOptions {
  readonly ledger: string
  readonly reader: LedgerReader
  readonly witnesses: readonly Witness[]
  readonly atLeast: number
  readonly log: (line: string) => void
  readonly changed: (state: Cosigning) => void
}

interface Standing {
  readonly witness: Witness
  failures: number
  error: string | undefined
  alarm: boolean
  busy: boolean
  notBefore: number
}

export class Rounds {
  readonly #options: RoundsOptions
  readonly #standings: readonly Standing[]
  /** Of the newest checkpoint that was asked about: its note, and a line a witness. */
  #collected: { note: string; size: bigint; lines: Map<Witness, string> } | undefined
  #kept: { size: bigint; time: string } | undefined
  #writing = Promise.resolve()
  #stopped = false

  constructor(options: RoundsOptions) {
    this.#options = options
    this.#standings = options.witnesses.map((witness) => ({
      witness,
      failures: 0,
      error: undefined,
      alarm: false,
      busy: false,
      notBefore: 0,
    }))
  }

  /** Runs until {@link stop}. */
  async run(): Promise<void> {
    this.#tell()
    while (!this.#stopped) {
      try {
        const newest = this.#options.reader.checkpoint()
        if (newest !== undefined) await this.#round(newest)
      } catch (error) {
        this.#options.log(messageOf(error))
      }
      await sleep(LOOK_MS)
    }
  }

  stop(): Promise<void> {
    this.#stopped = true
    return this.#writing
  }

  async #round(checkpoint: SignedCheckpoint): Promise<void> {
    const { note, size } = checkpoint
    if (this.#collected?.note !== note) this.#collected = { note, size, lines: new Map() }
    const { lines } = this.#collected
    const due = this.#standings.filter(
      ({ witness, busy, notBefore }) => !busy && !lines.has(witness) && performance.now() >= notBefore,
    )
    if (due.length === 0) return
    const all = Promise.all(due.map((standing) => this.#ask(standing, checkpoint)))
    await Promise.race([all, sleep(GRACE_MS)])
  }

  async #ask(standing: Standing, checkpoint: SignedCheckpoint): Promise<void> {
    const { witness } = standing
    standing.busy = true
    const outcome = await witness.cosign(checkpoint)
    standing.busy = false
    if ('line' in outcome) {
      Object.assign(standing, { error: undefined, alarm: false, failures: 0 })
      if (this.#collected?.note === checkpoint.note) {
        this.#collected.lines.set(witness, outcome.line)
        this.#keep()
      }
    } else {
      if (standing.error !== outcome.error) this.#options.log(`${witness.name}: ${outcome.error}`)
      const wait = Math.min(FIRST_MS * 2 ** standing.failures, LONGEST_MS)
      Object.assign(standing, { ...outcome, failures: standing.failures + 1 })
      standing.notBefore = performance.now() + wait
    }
    this.#tell()
  }

  #keep(): void {
    const { note, size, lines } = this.#collected!
    if (lines.size < this.#options.atLeast) return
    const cosigned = `${note}${[...lines.values()].join('')}`
    this.#writing = this.#writing.then(async () => {
      try {
        if ((readCosigned(this.#options.ledger)?.size ?? 0n) > size) return
        await writeCosigned(this.#options.ledger, cosigned)
        this.#kept = { size, time: new Date().toISOString() }
        this.#tell()
      } catch (error) {
        this.#options.log(messageOf(error))
      }
    })
  }

  #tell(): void {
    const kept = this.#kept
    this.#options.changed({
      atLeast: this.#options.atLeast,
      ...(kept === undefined ? {} : { size: String(kept.size), time: kept.time }),
      witnesses: this.#standings.map(({ witness: { name }, error, alarm }) => ({
        name,
        alarm,
        ...(error === undefined ? {} : { error: error.slice(0, 1024) }),
      })),
    })
  }
}
