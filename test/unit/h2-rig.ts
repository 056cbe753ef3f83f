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
import { FLAG, type Frame, frame, PREFACE, TYPE } from '../../daemon/proxy/h2/frame.ts'
import { FrameReader } from '../../daemon/proxy/h2/frame-reader.ts'
import { type HeaderField, HpackDecoder } from '../../daemon/wire/hpack.ts'
import { HpackEncoder } from '../../daemon/wire/hpack-encoder.ts'
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

type Fields = readonly (readonly [name: string, value: string, indexing?: HeaderField['indexing']])[]

/** One end of a connection, frame by frame. */
export class ByHand {
  readonly frames: Frame[] = []
  readonly socket: Socket
  readonly #encoder = new HpackEncoder()
  readonly #decoder = new HpackDecoder()
  readonly #reader = new FrameReader()
  #ended = false
  #waiting = new Set<() => void>()

  /** @param server what comes begins with the client's preface, which is not looked at */
  constructor(socket: Socket, server = false) {
    this.socket = socket
    this.#reader.maxFrameSize = 1 << 24
    let ignored = server ? PREFACE.length : 0
    socket.on('data', (bytes: Buffer) => {
      this.#reader.push(bytes.subarray(ignored))
      ignored = Math.max(0, ignored - bytes.length)
      for (let one = this.#reader.next(); one; one = this.#reader.next()) this.frames.push(one)
      for (const look of this.#waiting) look()
    })
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.#ended = true
        for (const look of this.#waiting) look()
      })
    }
    socket.on('error', () => {})
  }

  get ended(): boolean {
    return this.#ended
  }

  /** The client's preface with settings. */
  begin(settings: Buffer = Buffer.alloc(0)): void {
    this.socket.write(PREFACE)
    this.send(TYPE.settings, 0, 0, settings)
  }

  send(type: number, flags: number, stream: number, payload: Buffer | string = ''): void {
    this.socket.write(frame(type, flags, stream, Buffer.from(payload)))
  }

  block(fields: Fields): Buffer {
    return this.#encoder.encode(fields.map(([name, value, indexing = 'kept']) => ({ name, value, indexing })))
  }

  windowUpdate(stream: number, increment: number): void {
    const payload = Buffer.alloc(4)
    payload.writeUInt32BE(increment)
    this.send(TYPE.windowUpdate, 0, stream, payload)
  }

  headers(stream: number, fields: Fields, endStream = true): void {
    this.send(TYPE.headers, FLAG.endHeaders | (endStream ? FLAG.endStream : 0), stream, this.block(fields))
  }

  /** Decodes a header frame; each in order. */
  read({ payload, flags }: Frame): HeaderField[] {
    const fields: HeaderField[] = []
    const block = flags & FLAG.priority ? payload.subarray(5) : payload
    if (!this.#decoder.decode(block, (field) => fields.push(field))) throw new Error('no HPACK')
    return fields
  }

  until(what: string, when: () => boolean, timeout = 5000): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (!when()) return
        clearTimeout(timer)
        this.#waiting.delete(look)
        resolve()
      }
      const seen = () => this.frames.map(({ type, stream }) => `${type}/${stream}`).join(' ')
      const timer = setTimeout(() => reject(new Error(`waited for ${what}, saw ${seen()}`)), timeout)
      this.#waiting.add(look)
      look()
    })
  }

  async frame(type: number, stream?: number, flags?: number): Promise<Frame> {
    const fits = (one: Frame) =>
      one.type === type &&
      (stream === undefined || one.stream === stream) &&
      (flags === undefined || one.flags === flags)
    await this.until(`a frame ${type}/${stream}`, () => this.frames.some(fits))
    return this.frames.find(fits) as Frame
  }

  /** The code of the GOAWAY that ends the connection. */
  async closedWith(): Promise<number> {
    await this.until('the end', () => this.#ended)
    return this.frames.findLast(({ type }) => type === TYPE.goAway)?.payload.readUInt32BE(4) ?? -1
  }
}
