/** Ends of HTTP/2 for tests: node:http2 on the rig's connections, and frames by hand. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type SessionOptions,
} from 'node:http2'
import type { Socket } from 'node:net'
import { NAME, type Rig, type RigOptions, startRig } from './proxy-rig.ts'

export interface H2Provider {
  readonly server: Http2Server
  readonly sessions: ServerHttp2Session[]
}

export type Serve = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: string[]) => void

/** A rig whose provider speaks HTTP/2 and answers streams as `serve` does. */
export async function startH2Rig(
  serve: Serve,
  options: Partial<RigOptions> & { readonly settings?: SessionOptions['settings'] } = {},
): Promise<Rig & H2Provider> {
  const { settings, ...rest } = options
  const server = createServer({ ...(settings ? { settings } : {}) })
  const sessions: ServerHttp2Session[] = []
  server.on('session', (session) => {
    sessions.push(session)
    session.on('error', () => {})
  })
  server.on('sessionError', () => {})
  server.on('stream', (stream, headers, _flags, raw: unknown) => {
    stream.on('error', () => {})
    serve(stream, headers, raw as string[])
  })
  const provider = (socket: Socket) => {
    server.emit('connection', socket)
  }
  const rig = await startRig({ alpn: ['h2', 'http/1.1'], provider, ...rest })
  return Object.assign(rig, { server, sessions })
}

/** An agent's session through the proxy. */
export async function h2Agent(rig: Rig, options: SessionOptions = {}): Promise<ClientHttp2Session> {
  const socket = await rig.agent({ alpn: ['h2', 'http/1.1'] })
  if (socket.alpnProtocol !== 'h2') throw new Error(`the proxy speaks ${socket.alpnProtocol}`)
  const session = connect(`https://${NAME}`, { ...options, createConnection: () => socket })
  session.on('error', () => {})
  return session
}

export interface Answered {
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly informational: readonly IncomingHttpHeaders[]
  readonly trailers: IncomingHttpHeaders | undefined
  readonly body: Buffer
  readonly code: number
}

/** Waits until a stream is over. */
export function answered(stream: ClientHttp2Stream): Promise<Answered> {
  const chunks: Buffer[] = []
  const informational: IncomingHttpHeaders[] = []
  let headers: IncomingHttpHeaders = {}
  let rawHeaders: string[] = []
  let trailers: IncomingHttpHeaders | undefined
  stream.on('headers', (more) => informational.push(more))
  stream.on('response', (head, _flags, raw: unknown) => {
    headers = head
    rawHeaders = raw as string[]
  })
  stream.on('trailers', (end) => {
    trailers = end
  })
  stream.on('data', (bytes: Buffer) => chunks.push(bytes))
  stream.on('error', () => {})
  return new Promise((resolve) => {
    stream.on('close', () =>
      resolve({
        headers,
        rawHeaders,
        informational,
        trailers,
        body: Buffer.concat(chunks),
        code: stream.rstCode,
      }),
    )
  })
}

/** One request with its whole body. */
export function ask(
  session: ClientHttp2Session,
  headers: Record<string, string | string[]>,
  body?: string | Buffer,
): Promise<Answered> {
  const stream = session.request(headers, { endStream: body === undefined })
  const whole = answered(stream)
  if (body !== undefined) stream.end(body)
  return whole
}
