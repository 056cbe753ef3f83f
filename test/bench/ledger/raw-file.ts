/** The least that durability costs: a file with group commit, and nothing else. What the ledger is measured against. */
import { AppendFile } from '../../../daemon/base/durable/append-file.ts'
import type { Sink } from './load.ts'

export class RawFile implements Sink {
  readonly #file: AppendFile
  #queue: { leaf: Buffer; resolve: () => void }[] = []
  #writing = false

  private constructor(file: AppendFile) {
    this.#file = file
  }

  static async open(path: string): Promise<RawFile> {
    return new RawFile(await AppendFile.open(path))
  }

  append(leaf: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#queue.push({ leaf: Buffer.from(leaf), resolve })
      if (!this.#writing) void this.#write()
    })
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  async #write(): Promise<void> {
    this.#writing = true
    while (this.#queue.length > 0) {
      await new Promise(setImmediate)
      const batch = this.#queue.splice(0)
      await this.#file.append([Buffer.concat(batch.map(({ leaf }) => leaf))])
      await this.#file.sync()
      for (const { resolve } of batch) resolve()
    }
    this.#writing = false
  }
}
