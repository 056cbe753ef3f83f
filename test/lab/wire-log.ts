/**
 * What the laboratory's internet saw, byte for byte: one JSON object a line, bodies in base64. The
 * process in `internet` writes it, tests read it back.
 */
import { readFileSync } from 'node:fs'
import { LABORATORY } from './places.ts'

/** Holds the agents' credentials: the laboratory's root alone may read it. */
export const WIRE_LOG = `${LABORATORY}/wire.jsonl`

export type Protocol = 'tls' | 'http' | 'tcp' | 'udp'

export type WireEvent =
  | {
      readonly type: 'connection'
      readonly connection: number
      readonly at: number
      readonly site: string
      readonly port: number
      readonly protocol: Protocol
      readonly localAddress: string
      readonly remoteAddress: string
      readonly remotePort: number
    }
  | {
      readonly type: 'handshake'
      readonly connection: number
      /** The name the client asked for; false where it sent none. */
      readonly sni: string | false
      readonly version: string
    }
  | {
      readonly type: 'exchange'
      readonly connection: number
      readonly at: number
      readonly method: string
      readonly target: string
      readonly head: string
      readonly body: string
      readonly response: string
      readonly complete: boolean
    }
  | { readonly type: 'bytes'; readonly connection: number; readonly received: string }
  | { readonly type: 'error'; readonly connection: number; readonly message: string }

/** One request and its answer, as they were on the wire. */
export interface WireExchange {
  /** Milliseconds since 1970 when the request's head was complete. */
  readonly at: number
  readonly method: string
  readonly target: string
  /** Request line and header fields with the empty line that ends them. */
  readonly head: Buffer
  /** The request's body with its chunked framing, if it had any. */
  readonly body: Buffer
  /** Everything that was sent back, framing included. */
  readonly response: Buffer
  /** False where the connection ended before the answer did. */
  readonly complete: boolean
}

/** One connection (TCP) or one datagram's sender (UDP). */
export interface WireConnection {
  readonly connection: number
  /** Milliseconds since 1970. */
  readonly at: number
  /** Name of the site that was reached. */
  readonly site: string
  readonly port: number
  readonly protocol: Protocol
  readonly localAddress: string
  readonly remoteAddress: string
  readonly remotePort: number
  /** Undefined before the TLS handshake is done, false where the client named no server. */
  readonly sni?: string | false
  readonly exchanges: readonly WireExchange[]
  /** What came in on a port that speaks no HTTP (first 64 KiB). */
  readonly received: Buffer
  /** TLS and framing errors, as the server met them. */
  readonly errors: readonly string[]
}

/** The log as one entry a connection, in the order in which they came. */
export function readWireLog(file = WIRE_LOG): WireConnection[] {
  return assembleWireLog(readFileSync(file, 'utf8'))
}

/** The pure half of `readWireLog`. */
export function assembleWireLog(text: string): WireConnection[] {
  type Growing = {
    -readonly [Key in keyof WireConnection]: WireConnection[Key]
  } & { exchanges: WireExchange[]; errors: string[] }
  const connections = new Map<number, Growing>()
  for (const line of text.split('\n')) {
    if (line === '') continue
    const event = JSON.parse(line) as WireEvent
    if (event.type === 'connection') {
      const { type: _, ...seen } = event
      connections.set(event.connection, { ...seen, exchanges: [], errors: [], received: Buffer.alloc(0) })
      continue
    }
    const connection = connections.get(event.connection)
    if (connection === undefined) continue
    if (event.type === 'handshake') connection.sni = event.sni
    else if (event.type === 'error') connection.errors.push(event.message)
    else if (event.type === 'bytes') connection.received = Buffer.from(event.received, 'base64')
    else connection.exchanges.push(exchangeOf(event))
  }
  return [...connections.values()]
}

function exchangeOf(event: Extract<WireEvent, { type: 'exchange' }>): WireExchange {
  return {
    at: event.at,
    method: event.method,
    target: event.target,
    head: Buffer.from(event.head, 'base64'),
    body: Buffer.from(event.body, 'base64'),
    response: Buffer.from(event.response, 'base64'),
    complete: event.complete,
  }
}
