/** Frames to one side: the header blocks of that side's own HPACK state, everything else as it is. */
import type { HeaderField } from '../../wire/hpack.ts'
import { HpackEncoder } from '../../wire/hpack-encoder.ts'
import { DEFAULT_FRAME_SIZE, FLAG, frame, PREFACE, TYPE } from './frame.ts'
import type { Priority } from './receiver.ts'

const NOTHING: Buffer = Buffer.alloc(0)
const SETTING_LENGTH = 6

export class Sender {
  readonly #out: (bytes: Buffer) => void
  readonly #encoder = new HpackEncoder()
  #begun = false
  #owed = false

  constructor(out: (bytes: Buffer) => void) {
    this.#out = out
  }

  preface(): void {
    this.#out(PREFACE)
  }

  /** Is the acknowledgement that came that of settings of our own? */
  ownAcknowledged(): boolean {
    const owed = this.#owed
    this.#owed = false
    return owed
  }

  /** Settings come first: ours, where something must be said before the other side gave its own. */
  #write(bytes: Buffer): void {
    if (!this.#begun) {
      this.#begun = true
      this.#owed = true
      this.#out(frame(TYPE.settings, 0, 0, NOTHING))
    }
    this.#out(bytes)
  }

  /** What the peer's decoder holds, where it says so. */
  limitTable(size: number | undefined): void {
    if (size !== undefined) this.#encoder.limit(size)
  }

  headers(stream: number, fields: readonly HeaderField[], endStream: boolean, priority?: Priority): void {
    const block = this.#encoder.encode(fields)
    const first = priority ? Buffer.concat([priorityBytes(priority), block]) : block
    let flags = (endStream ? FLAG.endStream : 0) | (priority ? FLAG.priority : 0)
    let type: number = TYPE.headers
    // Every peer takes frames of this size.
    for (let at = 0; at === 0 || at < first.length; at += DEFAULT_FRAME_SIZE) {
      const end = Math.min(first.length, at + DEFAULT_FRAME_SIZE)
      if (end === first.length) flags |= FLAG.endHeaders
      this.#write(frame(type, flags, stream, first.subarray(at, end)))
      type = TYPE.continuation
      flags = 0
    }
  }

  /** @param raw a whole DATA frame, which is changed */
  passData(stream: number, raw: Buffer): void {
    raw[4] = (raw[4] as number) & (FLAG.endStream | FLAG.padded)
    this.pass(stream, raw)
  }

  /** @param raw a whole frame, which is changed */
  pass(stream: number, raw: Buffer): void {
    raw.writeUInt32BE(stream, 5)
    this.#write(raw)
  }

  data(stream: number, content: Buffer, endStream: boolean): void {
    this.#write(frame(TYPE.data, endStream ? FLAG.endStream : 0, stream, content))
  }

  reset(stream: number, code: number): void {
    const payload = Buffer.allocUnsafe(4)
    payload.writeUInt32BE(code, 0)
    this.#write(frame(TYPE.resetStream, 0, stream, payload))
  }

  settings(entries: readonly (readonly [id: number, value: number])[]): void {
    const payload = Buffer.allocUnsafe(entries.length * SETTING_LENGTH)
    for (const [i, [id, value]] of entries.entries()) {
      payload.writeUInt16BE(id, i * SETTING_LENGTH)
      payload.writeUInt32BE(value, i * SETTING_LENGTH + 2)
    }
    this.#begun = true
    this.#out(frame(TYPE.settings, 0, 0, payload))
  }

  acknowledgeSettings(): void {
    this.#write(frame(TYPE.settings, FLAG.acknowledged, 0, NOTHING))
  }

  acknowledgePing(payload: Buffer): void {
    this.#write(frame(TYPE.ping, FLAG.acknowledged, 0, payload))
  }

  windowUpdate(stream: number, increment: number): void {
    const payload = Buffer.allocUnsafe(4)
    payload.writeUInt32BE(increment, 0)
    this.#write(frame(TYPE.windowUpdate, 0, stream, payload))
  }

  goAway(lastStream: number, code: number, debug = NOTHING): void {
    const payload = Buffer.allocUnsafe(8 + debug.length)
    payload.writeUInt32BE(lastStream, 0)
    payload.writeUInt32BE(code, 4)
    debug.copy(payload, 8)
    this.#write(frame(TYPE.goAway, 0, 0, payload))
  }
}

function priorityBytes({ exclusive, dependsOn, weight }: Priority): Buffer {
  const bytes = Buffer.allocUnsafe(5)
  bytes.writeUInt32BE(((exclusive ? 0x8000_0000 : 0) | dependsOn) >>> 0, 0)
  bytes[4] = weight
  return bytes
}
