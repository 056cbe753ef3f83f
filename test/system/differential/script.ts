/** What two ends say to each other on a connection, written down beforehand. */
import type { Random } from './random.ts'

export interface Step {
  /** How many bytes must have come from the other end first. */
  readonly after: number
  /** How many bytes must have come to the other end first: the client's are counted as the connection's. */
  readonly whenHeard?: number
  readonly delay: number
  readonly bytes?: Buffer
  readonly leave?: 'end' | 'destroy'
}

export interface Exchange {
  /** Stands in the request's path. */
  readonly id: number
  /** Bytes of it that reach the provider. */
  readonly request: number
  /** Of its answer that reach the client at least; all of it but where the client leaves before. */
  readonly response: number
  /** `after` counts this exchange's bytes. */
  readonly provider: readonly Step[]
  /** The bodies that its record must have; only the beginning where the client left before the end. */
  readonly stored: { readonly request: Buffer; readonly response: Buffer; readonly prefix?: boolean }
  /** The messages that its turns' records must have. */
  readonly messages?: { readonly client: readonly Buffer[]; readonly server: readonly Buffer[] }
}

/** All that happens on one connection of a client. */
export interface Conversation {
  readonly protocol: string
  readonly exchanges: readonly Exchange[]
  /** `after` counts the connection's bytes. */
  readonly client: readonly Step[]
}

/** Makes a conversation; its exchanges get the ids from `id` on. One file a protocol. */
export type Protocol = (random: Random, id: number) => Conversation

/** Steps that say these bytes, in pieces and with pauses. */
export function say(random: Random, bytes: Buffer, after: number): Step[] {
  const pauses = random.chance(0.3)
  return random.cut(bytes).map((piece, i) => ({
    after,
    delay: i > 0 && pauses ? random.int(0, 3) : 0,
    bytes: piece,
  }))
}
