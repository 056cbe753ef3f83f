/** A part on its way into the body store, with as much of it held back as the parsers may look at. */
import type { BodyKeys } from '../bodies/keys.ts'
import type { PackStore } from '../bodies/pack-store.ts'
import { PartWriter } from '../bodies/part-writer.ts'
import type { Content } from '../derive/derive.ts'
import type { Part } from '../record.ts'

/** A body longer than this is stored and not parsed. */
const MAX_PARSED = 16 << 20

export class Capture {
  readonly #writer: PartWriter
  readonly #read: boolean
  #held: Buffer[] = []

  /**
   * @param store undefined where it isn't stored
   * @param read whether it may be parsed all the same
   */
  constructor(keys: BodyKeys, store: PackStore | undefined, read = store !== undefined) {
    this.#writer = new PartWriter(keys, store)
    this.#read = read
  }

  write(bytes: Buffer): void {
    this.#writer.write(bytes)
    if (this.#writer.size <= MAX_PARSED) this.#held.push(bytes)
    else this.#held = []
  }

  /** What may be parsed: nothing of bodies that are not kept. */
  content(): Content {
    if (!this.#read) return { unparsed: 'bodies with tokens or keys are not kept' }
    if (this.#writer.size > MAX_PARSED) return { unparsed: `longer than ${MAX_PARSED >> 20} MiB` }
    return Buffer.concat(this.#held)
  }

  finish(): Part {
    this.#held = []
    return this.#writer.finish()
  }
}
