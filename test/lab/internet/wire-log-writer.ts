import { createWriteStream, type WriteStream } from 'node:fs'
import type { WireEvent } from '../wire-log.ts'

/** Appends events to the wire log; switched off for measurements, where its base64 would cost time. */
export class WireLogWriter {
  readonly #stream: WriteStream
  #nextConnection = 1
  #on = true

  constructor(file: string) {
    this.#stream = createWriteStream(file, { flags: 'a', mode: 0o600 })
  }

  /** A number for a new connection, unique in this log. */
  newConnection(): number {
    return this.#nextConnection++
  }

  /** Events are made only where they are kept. */
  add(event: () => WireEvent): void {
    if (this.#on) this.#stream.write(`${JSON.stringify(event())}\n`)
  }

  switch(on: boolean): void {
    this.#on = on
  }

  /** Resolves when everything added so far can be read from the file. */
  flush(): Promise<void> {
    return new Promise((done, failed) => {
      this.#stream.write('', (error) => (error ? failed(error) : done()))
    })
  }
}
