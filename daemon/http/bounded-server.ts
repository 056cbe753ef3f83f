/**
 * An HTTP server for strangers: everything that a client can take is bounded, and a port that can't be had is waited
 * for and told, not died of.
 *
 * Threat model: clients are anybody on the network. They may send without end or not at all, open connections and
 * keep them, and read as slowly as they like. No header but the method, the path, the length and Accept-Encoding is
 * looked at.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { messageOf } from '../base/errors.ts'

export interface Request {
  readonly method: string
  /** As sent: nothing is decoded or resolved. */
  readonly path: string
  readonly gzip: boolean
  readonly body: Buffer
}

export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer | string
}

export interface Listening {
  /** `ADDRESS:PORT`. */
  readonly listen: string
  /** Why it doesn't listen; it tries again. */
  readonly why?: string
}

export interface ServerOptions {
  readonly address: string
  readonly port: number
  readonly handle: (request: Request) => Answer | Promise<Answer>
  /** Of a request; 0 where none is taken. */
  readonly maxBody: number
  readonly log: (line: string) => void
  /** Called with each change. */
  readonly listening: (state: Listening) => void
}

export interface BoundedServer {
  readonly port: number | undefined
  close(): Promise<void>
}

const MAX_HEADERS = 8 << 10
const MAX_CONNECTIONS = 256
/** Of one address; a reverse proxy on this machine speaks for many. */
const MAX_OF_ONE = 32
const HEADERS_MS = 5000
const REQUEST_MS = 15_000
const KEEP_ALIVE_MS = 10_000
/** From the request's head to the last byte of the answer. */
const WHOLE_MS = 60_000
const MAX_REQUESTS_OF_A_SOCKET = 10_000
const RETRY_MS = 2000

/** Starts it; {@link ServerOptions.listening} says whether it listens. */
export function startBoundedServer(options: ServerOptions): BoundedServer {
  const { address, port, log } = options
  const listen = `${address.includes(':') ? `[${address}]` : address}:${port}`
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADERS,
      headersTimeout: HEADERS_MS,
      requestTimeout: REQUEST_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: 1000,
      requireHostHeader: false,
    },
    (request, response) => void answer(request, response, options),
  )
  server.maxConnections = MAX_CONNECTIONS
  server.maxRequestsPerSocket = MAX_REQUESTS_OF_A_SOCKET
  server.on('clientError', (_, socket) => socket.destroy())
  server.on('connect', (_, socket) => socket.destroy())
  server.on('checkExpectation', (request, response) => void answer(request, response, options))
  server.on('checkContinue', (request, response) => {
    response.writeContinue()
    void answer(request, response, options)
  })
  limitEach(server)
  let timer: NodeJS.Timeout | undefined
  let why: string | undefined
  let closing = false
  const tell = (now: string | undefined) => {
    if (now !== undefined && now !== why) log(`${listen}: ${now}`)
    why = now
    options.listening(now === undefined ? { listen } : { listen, why: now })
  }
  const attempt = () => server.listen({ host: address, port })
  server.on('listening', () => tell(undefined))
  server.on('error', (error) => {
    tell(whyOf(error))
    if (!closing && !server.listening) timer = setTimeout(attempt, RETRY_MS)
  })
  attempt()
  return {
    get port() {
      const bound = server.address()
      return typeof bound === 'object' ? bound?.port : undefined
    },
    async close() {
      closing = true
      clearTimeout(timer)
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

function whyOf(error: Error): string {
  const code = 'code' in error ? String(error.code) : ''
  if (code === 'EADDRINUSE') return 'another program has this port'
  if (code === 'EADDRNOTAVAIL') return 'this machine does not have this address'
  return messageOf(error)
}

function limitEach(server: Server): void {
  const held = new Map<string, number>()
  server.on('connection', (socket: Socket) => {
    const from = socket.remoteAddress ?? ''
    const count = (held.get(from) ?? 0) + 1
    if (count > MAX_OF_ONE && !isLoopback(from)) return void socket.destroy()
    held.set(from, count)
    socket.once('close', () => {
      const left = (held.get(from) ?? 1) - 1
      if (left > 0) held.set(from, left)
      else held.delete(from)
    })
  })
}

const isLoopback = (address: string) => address === '::1' || /^(?:::ffff:)?127\./.test(address)

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: ServerOptions,
): Promise<void> {
  const deadline = setTimeout(() => request.socket.destroy(), WHOLE_MS)
  response.once('close', () => clearTimeout(deadline))
  request.on('error', () => {})
  response.on('error', () => {})
  try {
    const body = await readBody(request, options.maxBody)
    if (body === undefined) return refuse(response, { status: 413 })
    const { method = '', url: path = '' } = request
    const gzip = /(?:^|[ ,])gzip(?:,|$| )/.test(String(request.headers['accept-encoding'] ?? ''))
    send(response, method, await options.handle({ method, path, gzip, body }))
  } catch (error) {
    if (response.destroyed) return
    options.log(`a request failed: ${messageOf(error)}`)
    refuse(response, { status: 503 })
  }
}

/** Undefined where it is too long: what is left of it is not read. */
async function readBody(request: IncomingMessage, most: number): Promise<Buffer | undefined> {
  const pieces: Buffer[] = []
  let length = 0
  if (Number(request.headers['content-length'] ?? 0) > most) return undefined
  for await (const piece of request as AsyncIterable<Buffer>) {
    length += piece.length
    if (length > most) return undefined
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}

/** Without more of this connection, which may hold the rest of what was refused. */
function refuse(response: ServerResponse, { status }: { status: number }): void {
  response.shouldKeepAlive = false
  send(response, 'GET', { status })
}

function send(response: ServerResponse, method: string, { status, headers, body = '' }: Answer): void {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  response.writeHead(status, {
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
    'content-type': 'text/plain; charset=utf-8',
    ...headers,
    'content-length': bytes.length,
  })
  response.end(method === 'HEAD' ? undefined : bytes)
}
