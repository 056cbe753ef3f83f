/** Plays conversations on real sockets and keeps what each end got. */
import type { Socket } from 'node:net'
import type { Conversation, Exchange, Step } from './script.ts'

const PATIENCE_MS = 30_000

/** Bytes that came on a socket, and whoever waits for more of them. */
class Received {
  #parts: Buffer[] = []
  #from = 0
  #waiting = new Set<() => void>()
  size = 0
  ended = false

  constructor(socket?: Socket) {
    socket?.on('data', (bytes: Buffer) => this.add(bytes))
    for (const event of ['end', 'close', 'error']) socket?.on(event, () => this.end())
  }

  add(bytes: Buffer): void {
    this.#parts.push(bytes)
    this.size += bytes.length
    this.#wake()
  }

  end(): void {
    this.ended = true
    this.#wake()
  }

  /** Also where the other end has left. */
  until(met: () => boolean, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (!met() && !this.ended) return
        clearTimeout(timer)
        this.#waiting.delete(look)
        resolve()
      }
      const timer = setTimeout(() => reject(new Error(`${what}: had ${this.size} bytes`)), PATIENCE_MS)
      this.#waiting.add(look)
      look()
    })
  }

  get bytes(): Buffer {
    const all = Buffer.concat(this.#parts)
    this.#parts = [all]
    return all.subarray(this.#from)
  }

  /** Takes bytes off the front. */
  take(length: number): Buffer {
    const taken = this.bytes.subarray(0, length)
    this.#parts = [this.bytes.subarray(taken.length)]
    this.size -= taken.length
    return taken
  }

  #wake(): void {
    for (const look of [...this.#waiting]) look()
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** @returns false where the connection is over */
async function play(
  steps: readonly Step[],
  socket: Socket,
  own: Received,
  other: Received,
  what: string,
): Promise<boolean> {
  for (const step of steps) {
    await own.until(() => own.size >= step.after, `${what} waited for ${step.after}`)
    const { whenHeard } = step
    if (whenHeard !== undefined) {
      await other.until(() => other.size >= whenHeard, `${what} waited to be heard to ${whenHeard}`)
    }
    if (step.delay > 0) await pause(step.delay)
    if (socket.destroyed) return false
    if (step.bytes && !socket.write(step.bytes)) await drained(socket)
    if (step.leave === 'end') socket.end()
    if (step.leave === 'destroy') socket.destroy()
    if (step.leave) return false
  }
  return true
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    for (const event of ['drain', 'close', 'error']) socket.once(event, () => resolve())
  })
}

/** What came to both ends in one way of going. */
export class Way {
  readonly #scripts = new Map<number, { exchange: Exchange; client: Received; provider: Received }>()
  /** Bytes of each request as the provider got them. */
  readonly requests = new Map<number, Buffer>()
  readonly failures: string[] = []

  /** One connection of a client. @returns what it got */
  async client(conversation: Conversation, socket: Socket): Promise<Buffer> {
    const client = new Received(socket)
    let last = new Received()
    for (const exchange of conversation.exchanges) {
      last = new Received()
      this.#scripts.set(exchange.id, { exchange, client, provider: last })
    }
    const id = conversation.exchanges[0]?.id
    const total = conversation.exchanges.reduce((sum, { response }) => sum + response, 0)
    const goesOn = await play(conversation.client, socket, client, last, `client of ${id}`)
    if (goesOn) {
      await client.until(() => client.size >= total, `client of ${id} waited for all ${total}`)
      socket.end()
      await client.until(() => client.ended, `client of ${id} waited for the end`)
      socket.destroy()
      return client.bytes
    }
    return client.bytes.subarray(0, total)
  }

  /** One connection that reached the provider. */
  async provider(socket: Socket): Promise<void> {
    try {
      const received = new Received(socket)
      while (await this.#serve(socket, received));
      socket.end()
    } catch (error) {
      this.failures.push(String(error))
      socket.destroy()
    }
  }

  async #serve(socket: Socket, received: Received): Promise<boolean> {
    await received.until(() => received.bytes.includes('\r\n\r\n'), 'provider waited for a head')
    const id = Number(/\/d\/(\d+)/.exec(received.bytes.toString('latin1', 0, 200))?.[1])
    const script = this.#scripts.get(id)
    if (!script) return false
    const { exchange, client, provider } = script
    const heard = () => {
      provider.size = received.size
      provider.add(Buffer.alloc(0))
    }
    socket.on('data', heard)
    heard()
    const goesOn = await play(exchange.provider, socket, received, client, `provider of ${id}`)
    await received.until(() => received.size >= exchange.request, `provider of ${id} waited for it all`)
    socket.off('data', heard)
    this.requests.set(id, received.take(exchange.request))
    return goesOn && !received.ended
  }
}
