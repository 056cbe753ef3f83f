/**
 * Frames in, journal out, acknowledgement back. One commit runs at a time; what arrives meanwhile is the
 * next one's, so the number of fdatasyncs follows the disk and not the load.
 */
import { amount } from '../../base/amount.ts'
import { messageOf } from '../../base/errors.ts'
import type { Health } from '../../base/health.ts'
import { systemCode } from '../errors.ts'
import { type FailedPayload, FrameType } from '../protocol.ts'
import { malformed, type OpenExchange } from './exchange.ts'
import { type Journal, MAX_SEGMENT, type Ranges } from './journal.ts'
import { type LostSpan, Room } from './room.ts'

export interface FinaliseRequest {
  readonly id: string
  readonly ranges: Ranges
  /** The rest of the exchange could not be written, for this reason. */
  readonly failure?: FailedPayload
}

export interface IntakeEvents {
  finalise(request: FinaliseRequest): void
  lost(span: LostSpan): void
  /** An exchange is over, and its answer waits for the record: this peer wants to hear of it by this number. */
  held(id: string, peer: Peer, exchange: number): void
  /** A peer is gone, with all that it held. */
  gone(peer: Peer): void
  /** Enough is waiting for the disk: hold the senders back. */
  pause(paused: boolean): void
}

/** One proxy's connection, as intake sees it. */
export interface Peer {
  reply(type: FrameType, exchange: number, payload: Buffer): void
}

/** Bytes waiting for the disk at which senders are held back. */
const PAUSE_AT = 16 << 20
/** Frames that nobody waits for are on disk after this. */
const SYNC_WITHIN_MS = 1000
const EMPTY = Buffer.alloc(0)

export class Intake {
  readonly #journal: Journal
  readonly #events: IntakeEvents
  readonly #ids = new Set<string>()
  /** Those that are not over, the oldest first. */
  readonly #open = new Map<OpenExchange, Peer>()
  #pending = new Map<OpenExchange, Peer | undefined>()
  #pendingBytes = 0
  #paused = false
  #scheduled = false
  #running: Promise<void> = Promise.resolve()
  #syncTimer: NodeJS.Timeout | undefined
  #failing: { code: string; message: string; count: number; from: number } | undefined
  readonly room: Room

  constructor(journal: Journal, events: IntakeEvents) {
    this.#journal = journal
    this.#events = events
    this.room = new Room((span) => events.lost(span))
  }

  health(): Health[] {
    if (this.#failing === undefined) return []
    return [
      {
        code: 'recorder.journal',
        severity: 'error',
        title: `The journal can't be written (${this.#failing.message}); governed calls are refused`,
        remedy: 'Free space on the file system of the state directory, or look at the kernel log.',
      },
    ]
  }

  /** To be called now and then: where new exchanges are refused nothing is written that would give space free. */
  tidy(): void {
    this.#running = this.#running.then(() => this.#journal.tidy()).catch((error) => void this.#broken(error))
  }

  /**
   * To be called now and then while new exchanges are refused for lack of space. A segment stands for the sake of all that
   * is in it: one stream that drips for days would keep everybody's from the disk. So the oldest exchange ends, where
   * that gives a segment's worth.
   */
  relieve(): void {
    if (this.#journal.stuck < MAX_SEGMENT) return
    const [oldest] = this.#open
    const segment = oldest?.[0].ranges[0]
    if (oldest === undefined || segment === undefined || !this.#journal.isEnded(segment)) return
    // One that was told so is on its way out.
    const message = `no space left, and this exchange, which is the oldest one, keeps ${amount(this.#journal.stuck)} of the journal from going`
    this.#fail(...oldest, { code: 'NO_SPACE', message })
  }

  /** Waits until everything that came is written, and says what was lost on the way. */
  async drain(): Promise<void> {
    do {
      await new Promise((resolve) => setImmediate(resolve))
      await this.#running
    } while (this.#scheduled || this.#pending.size > 0)
    clearTimeout(this.#syncTimer)
    await this.#journal.cleaned
    this.#reportLost()
    this.room.endRefusing()
  }

  /** For a connection only. */
  claim(id: string): void {
    if (this.#ids.has(id)) throw malformed('an id that is in use')
    this.#ids.add(id)
  }

  /** For a connection only: an exchange that goes on until its end comes, or its connection goes. */
  began(exchange: OpenExchange, peer: Peer): void {
    this.#open.set(exchange, peer)
  }

  /** For a connection only. */
  get events(): Pick<IntakeEvents, 'held' | 'gone'> {
    return this.#events
  }

  /** For a connection only: queues an exchange's frames for the next commit. */
  queue(exchange: OpenExchange, peer: Peer | undefined, bytes: number): void {
    this.#pending.set(exchange, peer)
    this.#pendingBytes += bytes
    if (this.#pendingBytes > PAUSE_AT && !this.#paused) this.#pause(true)
    if (this.#scheduled) return
    this.#scheduled = true
    // Behind the I/O of this turn of the event loop: all that came with it is one entry an exchange.
    setImmediate(() => {
      this.#running = this.#running.then(() => this.#commit())
    })
  }

  async #commit(): Promise<void> {
    this.#scheduled = false
    const batch = [...this.#pending]
    const bytes = this.#pendingBytes
    this.#pending = new Map()
    for (const [exchange, peer] of batch) this.#grow(exchange, peer)
    const writes = batch.flatMap(([{ id, ranges, frames, failure }]) =>
      frames.length > 0 && failure === undefined ? [{ id, ranges, frames }] : [],
    )
    const waited = batch.filter(([exchange]) => exchange.awaiting)
    for (const [exchange] of batch) exchange.frames = []
    try {
      if (writes.length > 0) await this.#journal.write(writes, waited.length > 0)
      this.room.written(bytes)
      this.#written(waited, writes.length > 0)
    } catch (error) {
      for (const [exchange, peer] of batch) this.#fail(exchange, peer, this.#broken(error))
    }
    this.#pendingBytes -= bytes
    if (this.#paused && this.#pendingBytes <= PAUSE_AT / 2) this.#pause(false)
    for (const [exchange] of batch) {
      // Its end may have come while this was being written: then the next commit, which has it, finishes it.
      if (exchange.over !== undefined && !this.#pending.has(exchange)) this.#finish(exchange)
    }
  }

  #written(waited: readonly [OpenExchange, Peer | undefined][], any: boolean): void {
    const now = Date.now()
    for (const [exchange, peer] of waited) {
      if (exchange.failure !== undefined) continue
      exchange.awaiting = false
      exchange.frames.push({ type: FrameType.Durable, time: now, payload: EMPTY })
      peer?.reply(FrameType.Durable, exchange.number, EMPTY)
    }
    if (any) this.#reportLost()
    if (this.#journal.dirty) {
      this.#syncTimer ??= setTimeout(() => {
        this.#syncTimer = undefined
        this.#running = this.#running
          .then(() => this.#journal.sync())
          .catch((error) => void this.#broken(error))
      }, SYNC_WITHIN_MS)
    }
  }

  /** Of frames that are about to be written. */
  #grow(exchange: OpenExchange, peer: Peer | undefined): void {
    if (exchange.failure !== undefined) return
    for (const { payload } of exchange.frames) exchange.size += payload.length
    const exceeded = this.room.exceeded(exchange.size, this.#journal.waiting)
    if (exceeded !== undefined) this.#fail(exchange, peer, exceeded)
  }

  #fail(exchange: OpenExchange, peer: Peer | undefined, failure: FailedPayload): void {
    if (exchange.failure !== undefined) return
    if (exchange.ranges.length === 0) this.#lose(failure).count++
    exchange.failure = failure
    exchange.awaiting = false
    if (exchange.over === undefined) {
      peer?.reply(FrameType.Failed, exchange.number, Buffer.from(JSON.stringify(failure)))
    }
  }

  #broken(error: unknown): FailedPayload {
    const failure = { code: systemCode(error), message: messageOf(error) }
    this.#lose(failure)
    return failure
  }

  #lose(failure: FailedPayload) {
    this.#failing ??= { ...failure, count: 0, from: Date.now() }
    return this.#failing
  }

  #reportLost(): void {
    const failing = this.#failing
    this.#failing = undefined
    if (failing !== undefined && failing.count > 0) {
      this.#events.lost({ code: failing.code, count: failing.count, from: failing.from, to: Date.now() })
    }
  }

  #finish(exchange: OpenExchange): void {
    this.#ids.delete(exchange.id)
    this.#open.delete(exchange)
    if (exchange.ranges.length === 0) return
    const { id, ranges, failure } = exchange
    this.#events.finalise(failure === undefined ? { id, ranges } : { id, ranges, failure })
  }

  #pause(paused: boolean): void {
    this.#paused = paused
    this.#events.pause(paused)
  }
}
