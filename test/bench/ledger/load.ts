/** Two ways to offer leaves to whatever acknowledges them, and how long the acknowledgements took. */
export interface Sink {
  append(leaf: Uint8Array): Promise<unknown>
}

export interface Measured {
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

/** Of the size of a record in the log of a real session: its bodies are commitments. */
export const RECORD_BYTES = 1400

let made = 0
export function someLeaf(bytes: number): Buffer {
  const leaf = Buffer.alloc(bytes, 65)
  leaf.writeUInt32BE(made++)
  return leaf
}

/** Of one block. Numbers only, in one array: what a load generator keeps alive, the collector stops everybody for. */
class Latencies {
  readonly #values = new Float64Array(2_000_000)
  #count = 0
  #offered = 0
  #idle = (): void => {}

  add(sink: Sink, due: number): void {
    this.#offered++
    void sink.append(someLeaf(RECORD_BYTES)).then(() => {
      this.#values[this.#count++] = performance.now() - due
      if (this.#count === this.#offered) this.#idle()
    })
  }

  async all(since: number): Promise<Measured> {
    if (this.#count < this.#offered) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve
      })
    }
    const values = this.#values.slice(0, this.#count).sort()
    const at = (q: number): number => values[Math.min(values.length - 1, Math.floor(q * values.length))]!
    const perSecond = (values.length / (performance.now() - since)) * 1000
    return { perSecond, p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) }
  }
}

/**
 * Open loop: leaves fall due at a steady rate, whether or not earlier ones are acknowledged, and a latency counts from
 * when its leaf fell due: a pause shows in all the leaves that it kept waiting (no coordinated omission).
 */
export async function openLoop(sink: Sink, perSecond: number, ms: number): Promise<Measured> {
  const latencies = new Latencies()
  const start = performance.now()
  let offered = 0
  for (let now = 0; now < ms; now = performance.now() - start) {
    for (const due = Math.floor((now * perSecond) / 1000); offered < due; offered++)
      latencies.add(sink, start + (offered * 1000) / perSecond)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  return latencies.all(start)
}

/** Closed loop: so many clients, each of which waits for its acknowledgement before it asks again. */
export async function closedLoop(sink: Sink, clients: number, ms: number): Promise<Measured> {
  const latencies = new Latencies()
  const start = performance.now()
  const watched: Sink = {
    async append(leaf) {
      await sink.append(leaf)
      if (performance.now() - start < ms) queueMicrotask(next)
    },
  }
  const next = (): void => latencies.add(watched, performance.now())
  for (let i = 0; i < clients; i++) next()
  return latencies.all(start)
}
