/**
 * The worker's connection to the recorder: frames out; Durable, Failed, Reached and Admission in. Frames leave
 * together (together-writer.ts), at once only where an agent waits for the answer; bodies are written as the buffers
 * they came in.
 *
 * Fails safe: while it is down no exchange can be opened; when it goes down every open exchange hears of it. An
 * exchange whose RequestEnd isn't answered in time has failed.
 */
import { Socket } from 'node:net'
import { messageOf } from '../base/errors.ts'
import {
  type Admission,
  type FailedPayload,
  FrameReader,
  FrameType,
  frameHeader,
  type RefusalPayload,
} from '../recorder/protocol.ts'
import { now } from './clock.ts'
import { TogetherWriter } from './together-writer.ts'

export interface ExchangeListener {
  /** All up to RequestEnd is on disk. */
  durable(): void
  /** It can't be recorded (any more). Called at most once; nothing may be sent for the exchange afterwards. */
  unrecorded(reason: string): void
}

/** Who holds an answer until its record has reached the level. */
export interface LevelListener {
  reached(): void
  /** Nobody will say any more. */
  unreached(reason: string): void
  /** It waits no longer. */
  readonly over: boolean
}

export interface DrainListener {
  /** There is room again after {@link RecorderLink.full}, or nothing more to wait for. */
  recorderDrained(): void
}

interface Open {
  readonly listener: ExchangeListener
  /** When RequestEnd was sent, in milliseconds of the monotonic clock; 0 if not waiting. */
  asked: number
}

/** Bytes waiting for the recorder above which exchanges stop reading. */
const HIGH_WATER = 4 << 20
const ANSWER_TIMEOUT_MS = 5000
const SWEEP_MS = 500
const FIRST_RETRY_MS = 50
const LAST_RETRY_MS = 2000
/** Refusals kept while the recorder is away; what comes after that is counted as lost. */
const MAX_WAITING_REFUSALS = 1000
/** Above this many slices of a body in one read they are copied together: a hostile chunking costs no more. */
const MAX_PARTS = 8
const NOTHING = Buffer.alloc(0)
const LOST = 'the recorder was lost before it could say how far the record has come'

export interface RecorderLinkOptions {
  readonly path: string
  readonly answerTimeoutMs?: number
  readonly changed?: () => void
}

export class RecorderLink {
  readonly #path: string
  readonly #answerTimeout: number
  readonly #changed: () => void
  readonly #open = new Map<number, Open>()
  /** Over, their answers held. */
  readonly #held = new Map<number, LevelListener>()
  #refused: string | undefined
  /** In the order of their RequestEnd. */
  readonly #awaiting = new Set<number>()
  #drainers = new Set<DrainListener>()
  #refusals: Buffer[] = []
  #lostRefusals = 0
  #socket: Socket | undefined
  #together: TogetherWriter | undefined
  #connected = false
  #stopped = false
  #exchange = 0
  #retry = FIRST_RETRY_MS
  #retryTimer: NodeJS.Timeout | undefined
  readonly #sweeper: NodeJS.Timeout

  constructor(options: RecorderLinkOptions) {
    this.#path = options.path
    this.#answerTimeout = options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS
    this.#changed = options.changed ?? (() => {})
    this.#sweeper = setInterval(() => this.#sweep(), Math.min(SWEEP_MS, this.#answerTimeout))
    this.#sweeper.unref()
    this.#connect()
  }

  get connected(): boolean {
    return this.#connected
  }

  /** Why no exchange may begin now, as the recorder says. */
  get refused(): string | undefined {
    return this.#refused
  }

  /** Refusals that could not be kept for the recorder since the start. */
  get lostRefusals(): number {
    return this.#lostRefusals
  }

  /** True while so much waits for the recorder that reading should stop; see {@link whenDrained}. */
  get full(): boolean {
    return (this.#socket?.writableLength ?? 0) > HIGH_WATER
  }

  whenDrained(listener: DrainListener): void {
    this.#drainers.add(listener)
  }

  /** A number for an exchange on this connection; undefined while the recorder can't be reached. */
  open(listener: ExchangeListener): number | undefined {
    if (!this.#connected) return undefined
    do this.#exchange = (this.#exchange + 1) >>> 0
    while (this.#exchange === 0 || this.#open.has(this.#exchange) || this.#held.has(this.#exchange))
    this.#open.set(this.#exchange, { listener, asked: 0 })
    return this.#exchange
  }

  /** One frame whose payload is the parts put together. */
  send(type: FrameType, exchange: number, parts: readonly Buffer[]): void {
    if (!this.#connected || !this.#together) return
    const joined = parts.length > MAX_PARTS ? [Buffer.concat(parts)] : parts
    let length = 0
    for (const part of joined) length += part.length
    this.#together.write(frameHeader(type, exchange, now(), length))
    for (const part of joined) if (part.length > 0) this.#together.write(part)
  }

  /** RequestEnd: its listener hears `durable` or `unrecorded` within the time-out. */
  requestEnd(exchange: number, payload: Buffer): void {
    const open = this.#open.get(exchange)
    if (!open) return
    this.send(FrameType.RequestEnd, exchange, [payload])
    this.#together?.flushThisTurn()
    open.asked = performance.now()
    this.#awaiting.add(exchange)
  }

  /** End: the exchange is forgotten. @param level who waits for its record, where the payload says `hold` */
  end(exchange: number, payload: Buffer, level?: LevelListener): void {
    if (!this.#open.has(exchange)) {
      level?.unreached(LOST)
      return
    }
    this.send(FrameType.End, exchange, [payload])
    this.#forget(exchange)
    if (level) this.#held.set(exchange, level)
  }

  /** Kept until the recorder is there, within bounds. */
  refuse(payload: RefusalPayload): void {
    const bytes = Buffer.from(JSON.stringify(payload))
    if (this.#connected) {
      this.send(FrameType.Refusal, 0, [bytes])
      return
    }
    if (this.#refusals.length < MAX_WAITING_REFUSALS) this.#refusals.push(bytes)
    else this.#lostRefusals += 1
  }

  /** Sends what is waiting, then closes for good. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#retryTimer)
    clearInterval(this.#sweeper)
    const socket = this.#socket
    if (!socket || socket.destroyed) return
    await new Promise<void>((resolve) => {
      socket.once('close', () => resolve())
      if (this.#connected) socket.end(() => socket.destroySoon())
      else socket.destroy()
    })
  }

  #connect(): void {
    const socket = new Socket()
    socket.connect(this.#path)
    const reader = new FrameReader()
    let reason = 'the connection ended'
    this.#socket = socket
    this.#together = new TogetherWriter(socket)
    socket.on('connect', () => {
      this.#connected = true
      this.#retry = FIRST_RETRY_MS
      for (const refusal of this.#refusals.splice(0)) this.send(FrameType.Refusal, 0, [refusal])
      this.#changed()
    })
    socket.on('data', (bytes) => {
      try {
        for (const frame of reader.push(bytes)) this.#answer(frame.type, frame.exchange, frame.payload)
      } catch (error) {
        socket.destroy(error instanceof Error ? error : new Error(messageOf(error)))
      }
    })
    socket.on('drain', () => this.#drained())
    socket.on('error', (error) => {
      reason = messageOf(error)
    })
    socket.on('close', () => this.#lost(reason))
  }

  #answer(type: FrameType, exchange: number, payload: Buffer): void {
    if (type === FrameType.Admission) {
      this.#refused = (JSON.parse(payload.toString()) as Admission).refused
      return
    }
    if (type === FrameType.Reached) {
      const held = this.#held.get(exchange)
      this.#held.delete(exchange)
      held?.reached()
      return
    }
    const open = this.#open.get(exchange)
    if (!open) return
    this.#awaiting.delete(exchange)
    if (type === FrameType.Durable) {
      open.listener.durable()
      return
    }
    if (type !== FrameType.Failed) throw new Error(`a frame of type ${type} from the recorder`)
    this.#fail(exchange, failure(payload))
  }

  /** Tells the recorder that the exchange is over, then its listener. */
  #fail(exchange: number, reason: string): void {
    const open = this.#open.get(exchange)
    if (!open) return
    const error = { code: 'recorder_unavailable', message: reason }
    this.end(exchange, Buffer.from(JSON.stringify({ outcome: 'not-recorded', error })))
    open.listener.unrecorded(reason)
  }

  #forget(exchange: number): void {
    this.#open.delete(exchange)
    this.#awaiting.delete(exchange)
  }

  #drained(): void {
    const waiting = this.#drainers
    this.#drainers = new Set()
    for (const listener of waiting) listener.recorderDrained()
  }

  #lost(reason: string): void {
    const was = this.#connected
    this.#connected = false
    const open = [...this.#open.values()]
    const held = [...this.#held.values()]
    this.#open.clear()
    this.#held.clear()
    this.#refused = undefined
    this.#awaiting.clear()
    if (!this.#stopped) {
      this.#retryTimer = setTimeout(() => this.#connect(), this.#retry)
      this.#retry = Math.min(this.#retry * 2, LAST_RETRY_MS)
    }
    for (const { listener } of open) listener.unrecorded(`the recorder was lost: ${reason}`)
    for (const level of held) level.unreached(LOST)
    this.#drained()
    if (was) this.#changed()
  }

  #sweep(): void {
    for (const [exchange, level] of this.#held) if (level.over) this.#held.delete(exchange)
    const oldest = performance.now() - this.#answerTimeout
    for (const exchange of this.#awaiting) {
      const open = this.#open.get(exchange)
      if (open && open.asked > oldest) break
      this.#awaiting.delete(exchange)
      this.#fail(exchange, `no answer from the recorder in ${this.#answerTimeout} ms`)
    }
  }
}

function failure(payload: Buffer): string {
  try {
    const { code, message } = JSON.parse(
      (payload.length > 0 ? payload : NOTHING).toString(),
    ) as Partial<FailedPayload>
    return `${message ?? 'no reason given'} (${code ?? 'unknown'})`
  } catch {
    return 'it gave no readable reason'
  }
}
