/**
 * One part of an exchange (a head or a body) on its way into the body store.
 * digest = SHA-256(salt ‖ bytes): the salt is secret, so a short prompt can't be guessed from its digest,
 * and erasing it leaves a digest that says nothing.
 */
import { createHash, type Hash } from 'node:crypto'
import type { Part } from '../record.ts'
import { freshRandom } from '../sealed/random.ts'
import type { BodyKeys } from './keys.ts'
import { FORM, ID, LIST_IDS, SALT } from './pack-entry.ts'
import type { PackStore } from './pack-store.ts'
import { Splitter } from './split.ts'

/** Parts up to this stand in their manifest: a chunk of their own would cost more than it could save. */
const INLINE = 1024

export class PartWriter {
  readonly #store: PackStore | undefined
  readonly #salt = freshRandom(SALT)
  readonly #hash: Hash
  readonly #splitter: Splitter
  #small: Buffer[] | undefined = []
  #size = 0
  #ids: Buffer[] = []
  #lists: Buffer[] = []

  /** Without a store only digest and size are made, under a salt that is kept nowhere. */
  constructor(keys: BodyKeys, store: PackStore | undefined) {
    this.#store = store
    this.#splitter = new Splitter(keys.gear)
    this.#hash = createHash('sha256').update(this.#salt)
  }

  get size(): number {
    return this.#size
  }

  write(bytes: Buffer): void {
    this.#hash.update(bytes)
    this.#size += bytes.length
    if (this.#store === undefined) return
    if (this.#small !== undefined) {
      this.#small.push(bytes)
      if (this.#size <= INLINE) return
      const all = Buffer.concat(this.#small)
      this.#small = undefined
      this.#put(this.#store, this.#splitter.push(all))
    } else {
      this.#put(this.#store, this.#splitter.push(bytes))
    }
  }

  finish(): Part {
    const digest = this.#hash.digest()
    const part = { digest: digest.toString('hex'), size: this.#size, stored: this.#store !== undefined }
    const store = this.#store
    if (store === undefined) return part
    const common = { salt: this.#salt, size: this.#size }
    if (this.#small !== undefined) {
      store.putManifest(digest, { form: FORM.inline, ...common, content: Buffer.concat(this.#small) })
      return part
    }
    this.#put(store, this.#splitter.finish())
    if (this.#lists.length > 0 && this.#ids.length > 0) this.#closeList(store)
    const form = this.#lists.length > 0 ? FORM.lists : FORM.chunks
    const ids = form === FORM.lists ? this.#lists : this.#ids
    store.putManifest(digest, { form, ...common, content: Buffer.concat(ids, ids.length * ID) })
    return part
  }

  #put(store: PackStore, chunks: Buffer[]): void {
    for (const chunk of chunks) {
      this.#ids.push(store.putChunk(chunk))
      if (this.#ids.length === LIST_IDS) this.#closeList(store)
    }
  }

  #closeList(store: PackStore): void {
    this.#lists.push(store.putChunk(Buffer.concat(this.#ids)))
    this.#ids = []
  }
}
