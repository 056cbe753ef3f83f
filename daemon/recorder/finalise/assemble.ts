/**
 * One exchange's frames → its parts in the body store and its record. Frames may be missing: a crash or a
 * full disk took them. What is there is recorded, and the outcome says that it isn't all.
 */
import type { z } from 'zod'
import type { BodyKeys } from '../bodies/keys.ts'
import type { PackStore } from '../bodies/pack-store.ts'
import { Arrivals } from '../derive/arrivals.ts'
import { derive } from '../derive/derive.ts'
import { parseHead, requestLine, statusOf } from '../derive/http-head.ts'
import { deriveTurn } from '../derive/turn.ts'
import type { JournalFrame } from '../intake/journal-entry.ts'
import type { Outcome } from '../outcomes.ts'
import { EndPayload, OpenPayload, RefusalPayload, RequestEndPayload } from '../payloads.ts'
import { type FailedPayload, FrameType } from '../protocol.ts'
import type { ExchangeRecord, GapRecord, LogRecord, RefusalRecord } from '../record.ts'
import { Capture } from './capture.ts'
import { elapsed, rfc3339 } from './time.ts'
import { TurnCapture } from './turn-capture.ts'

const MAX_TARGET = 512

type Side = 'request' | 'response'

export interface Assembly {
  readonly id: string
  readonly frames: Iterable<JournalFrame | 'damaged'>
  readonly store: PackStore
  readonly keys: BodyKeys
  /** Whether the policy wants a side's body stored. */
  readonly stores?: (side: Side) => boolean
  /** Why the rest could not be journalled. */
  readonly failure?: FailedPayload | undefined
}

/** @throws the disk's error. */
export async function assemble(assembly: Assembly): Promise<LogRecord> {
  const { id, frames, store, keys, failure, stores = () => true } = assembly
  const exchange = new Assembler(store, keys, stores)
  for (const frame of frames) {
    if (frame === 'damaged') exchange.damaged = true
    else if (frame.type === FrameType.Refusal) return refusal(frame)
    else exchange.take(frame)
    await store.drain()
  }
  return exchange.record(id, failure)
}

function payload<T>(schema: z.ZodType<T>, frame: JournalFrame): T | undefined {
  try {
    return schema.parse(JSON.parse(frame.payload.toString('utf8')))
  } catch {
    // Intake let only valid ones in; an older version's may differ, and must not keep the rest out.
    return undefined
  }
}

function refusal(frame: JournalFrame): RefusalRecord {
  const { id, heldMs = 0, ...rest } = RefusalPayload.parse(JSON.parse(frame.payload.toString('utf8')))
  return { v: 1, id, time: rfc3339(frame.time - heldMs), kind: 'refusal', ...rest }
}

class Assembler {
  damaged = false
  readonly #store: PackStore
  readonly #keys: BodyKeys
  readonly #stores: (side: Side) => boolean
  readonly #requestHead: Capture
  #requestHeadBytes: Buffer = Buffer.alloc(0)
  #requestBody: Capture | undefined
  #responseHead: Capture | undefined
  #responseHeadBytes: Buffer = Buffer.alloc(0)
  #responseBody: Capture | undefined
  #arrivals: Arrivals | undefined
  #open: z.infer<typeof OpenPayload> | undefined
  #end: z.infer<typeof EndPayload> | undefined
  #times: { open?: number; requestEnd?: number; durable?: number; firstByte?: number; last: number } = {
    last: 0,
  }

  constructor(store: PackStore, keys: BodyKeys, stores: (side: Side) => boolean) {
    this.#store = store
    this.#stores = stores
    this.#keys = keys
    this.#requestHead = new Capture(keys, store)
  }

  take(frame: JournalFrame): void {
    if (frame.type !== FrameType.End) this.#times.last = Math.max(this.#times.last, frame.time)
    switch (frame.type) {
      case FrameType.Open:
        this.#open ??= payload(OpenPayload, frame)
        this.#times.open ??= frame.time
        break
      case FrameType.RequestHead:
        if (this.#requestHeadBytes.length === 0) this.#requestHeadBytes = Buffer.from(frame.payload)
        this.#requestHead.write(frame.payload)
        break
      case FrameType.RequestBody:
        this.#requestBody ??= this.#body('request')
        this.#requestBody.write(frame.payload)
        break
      case FrameType.RequestEnd:
        this.#times.requestEnd = frame.time
        this.#trailers(this.#requestHead, payload(RequestEndPayload, frame)?.trailers)
        break
      case FrameType.ResponseHead:
        // A turn of a WebSocket has the handshake's.
        if (!this.#open?.webSocket) this.#times.firstByte ??= frame.time
        // 1xx answers come before the final one, which is the one that counts.
        this.#responseHeadBytes = Buffer.from(frame.payload)
        this.#responseHead ??= new Capture(this.#keys, this.#store)
        this.#responseHead.write(frame.payload)
        break
      case FrameType.ResponseBody:
        this.#times.firstByte ??= frame.time
        this.#responseBody ??= this.#body('response')
        this.#responseBody.write(frame.payload)
        this.#arrivals ??= new Arrivals(this.#times.open ?? frame.time)
        this.#arrivals.note(frame.payload.length, frame.time)
        break
      case FrameType.Durable:
        this.#times.durable = frame.time
        break
      case FrameType.End:
        this.#end = payload(EndPayload, frame)
        this.#times.last = Math.max(this.#times.last, frame.time - (this.#end?.heldMs ?? 0))
        if (this.#responseHead !== undefined) this.#trailers(this.#responseHead, this.#end?.trailers)
        break
    }
  }

  record(id: string, failure: FailedPayload | undefined): ExchangeRecord | GapRecord {
    const open = this.#open
    const start = this.#times.open ?? this.#times.last
    if (open === undefined) {
      return {
        v: 1,
        id,
        time: rfc3339(start),
        kind: 'gap',
        cause: 'the beginning of an exchange could not be read from the journal',
        from: rfc3339(start),
        to: rfc3339(this.#times.last),
      }
    }
    const { method, target } = requestLine(parseHead(this.#requestHeadBytes))
    const status = statusOf(parseHead(this.#responseHeadBytes))
    const end = this.#end
    const error = failure ?? this.#damage() ?? end?.error
    const requestBody = this.#requestBody ?? this.#body('request')
    const response = this.#response()
    const seen = {
      provider: open.provider,
      telemetryName: open.telemetryName,
      style: open.style,
      model: end?.webSocket?.model,
      time: start,
      requestHead: this.#requestHeadBytes,
      requestBody: requestBody.content(),
      response: response && {
        head: this.#responseHeadBytes,
        body: response.body.content(),
        arrivals: this.#arrivals,
      },
    }
    const derived = open.webSocket ? deriveTurn(seen) : derive(seen)
    return {
      v: 1,
      id,
      time: rfc3339(start),
      kind: 'exchange',
      outcome: this.#outcome(failure),
      provider: open.provider,
      server: {
        name: open.serverName,
        tls: open.tls,
        originalDestination: open.originalDestination,
        upstream: end?.upstream,
        destinationMismatch: end?.destinationMismatch,
      },
      client: open.client,
      agent: end?.agent ?? open.agent,
      credentials: [...open.credentials],
      http: { method, target: target?.slice(0, MAX_TARGET), status },
      timing: this.#timing(start),
      request: { head: this.#requestHead.finish(), body: requestBody.finish() },
      response: response && { head: response.head.finish(), body: response.body.finish() },
      derived,
      policy: { ...open.policy, ...end?.policy },
      webSocket: open.webSocket && { ...open.webSocket, ...end?.webSocket },
      flags: this.#flags(),
      error,
    }
  }

  /** Each once, in the order noticed. */
  #flags(): string[] | undefined {
    const flags = [...new Set([...(this.#open?.flags ?? []), ...(this.#end?.flags ?? [])])]
    return flags.length === 0 ? undefined : flags
  }

  #response(): { head: Capture; body: Capture } | undefined {
    const head = this.#responseHead
    const body = this.#responseBody
    if (head === undefined && body === undefined) return undefined
    return { head: head ?? new Capture(this.#keys, this.#store), body: body ?? this.#body('response') }
  }

  #body(side: Side): Capture {
    const kept = this.#open?.keepBodies === true
    const store = kept && this.#stores(side) ? this.#store : undefined
    return this.#open?.webSocket
      ? new TurnCapture(this.#keys, store, kept)
      : new Capture(this.#keys, store, kept)
  }

  /** Trailer fields stand behind the head's, as they came. */
  #trailers(head: Capture, trailers: string | undefined): void {
    if (trailers !== undefined && trailers !== '') head.write(Buffer.from(trailers, 'latin1'))
  }

  #outcome(failure: FailedPayload | undefined): Outcome {
    if (failure !== undefined) {
      return this.#times.requestEnd === undefined ? 'not-recorded' : 'interrupted'
    }
    return this.damaged ? 'interrupted' : (this.#end?.outcome ?? 'interrupted')
  }

  #damage(): FailedPayload | undefined {
    return this.damaged
      ? { code: 'JOURNAL_DAMAGED', message: 'part of the exchange could not be read from the journal' }
      : undefined
  }

  #timing(start: number): ExchangeRecord['timing'] {
    const { requestEnd, durable, firstByte, last } = this.#times
    const after = (time: number | undefined) => (time === undefined ? undefined : elapsed(start, time))
    return {
      requestEnd: after(requestEnd),
      durable: after(durable),
      firstByte: after(firstByte),
      end: elapsed(start, last),
    }
  }
}
