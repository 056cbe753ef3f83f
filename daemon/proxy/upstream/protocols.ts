/** What providers chose of the protocols that they were offered (ALPN): asked once, then known for a while. */
import type { Protocol } from './connection.ts'

/** Which server was asked. */
interface Asked {
  readonly name: string
  readonly port: number
  readonly address?: string
}

/** A provider may learn or lose a protocol. */
const KNOWN_MS = 600_000
const MAX_KNOWN = 256

export class Protocols {
  readonly #known = new Map<string, { readonly protocol: Protocol; readonly until: number }>()

  get(target: Asked, offered: readonly Protocol[]): Protocol | undefined {
    const known = this.#known.get(keyOf(target, offered))
    return known !== undefined && known.until > performance.now() ? known.protocol : undefined
  }

  set(target: Asked, offered: readonly Protocol[], protocol: Protocol): void {
    const key = keyOf(target, offered)
    this.#known.delete(key)
    this.#known.set(key, { protocol, until: performance.now() + KNOWN_MS })
    if (this.#known.size > MAX_KNOWN) this.#known.delete(this.#known.keys().next().value as string)
  }
}

const keyOf = ({ name, port, address }: Asked, offered: readonly Protocol[]) =>
  `${name}:${port} ${address ?? ''} ${offered.join(',')}`
