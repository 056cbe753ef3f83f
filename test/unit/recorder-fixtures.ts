/** A proxy's side of the recorder's protocol, realistic traffic, and a recorder's start message. */
import { randomBytes, randomUUIDv7 } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { ed25519Signer } from '../../daemon/ledger/note.ts'
import {
  type EndPayload,
  type Frame,
  FrameReader,
  FrameType,
  frameHeader,
  type OpenPayload,
} from '../../daemon/recorder/protocol.ts'

const temporary: string[] = []
process.once('exit', () => {
  for (const directory of temporary) rmSync(directory, { recursive: true, force: true })
})

/** Gone when the test's process ends. */
export function temporaryDirectory(): string {
  const made = mkdtempSync(path.join(tmpdir(), 'recorder-'))
  temporary.push(made)
  return made
}

export function openPayload(over: Partial<OpenPayload> = {}): OpenPayload {
  return {
    id: randomUUIDv7(),
    provider: 'openai',
    serverName: 'api.openai.com',
    agent: { uid: 1000, inode: 4711 },
    client: { address: '10.0.0.2', port: 40000 },
    originalDestination: { address: '10.9.0.1', port: 443 },
    tls: true,
    policy: { hash: 'ab'.repeat(32), rule: 'governed' },
    credentials: [{ where: 'header:authorization', fingerprint: `fp_${'0'.repeat(32)}` }],
    keepBodies: true,
    ...over,
  }
}

export const REQUEST_HEAD = Buffer.from(
  'POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nAuthorization: fp_00\r\nContent-Type: application/json\r\n\r\n',
)
export const RESPONSE_HEAD = Buffer.from(
  'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: req_1\r\n\r\n',
)
export const RESPONSE_BODY = Buffer.from(
  JSON.stringify({
    id: 'chatcmpl-1',
    model: 'gpt-4o-2024-08-06',
    choices: [{ index: 0, message: { role: 'assistant', content: 'hello' }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 12, completion_tokens: 3, total_tokens: 15 },
  }),
)

export function requestBody(content: string): Buffer {
  return Buffer.from(JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content }] }))
}

export function frame(
  type: FrameType,
  exchange: number,
  payload: Buffer | object = {},
  time = Date.now(),
): Buffer {
  const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(JSON.stringify(payload))
  return Buffer.concat([frameHeader(type, exchange, time, bytes.length), bytes])
}

export const COMPLETE: EndPayload = {
  outcome: 'complete',
  upstream: { address: '10.9.0.1', port: 443 },
}

/** A connection as a proxy worker has it. */
export class FakeProxy {
  readonly socket: Socket
  readonly #waiting = new Map<number, (frame: Frame) => void>()
  #next = 1

  private constructor(socket: Socket) {
    this.socket = socket
    const reader = new FrameReader()
    socket.on('data', (bytes) => {
      for (const reply of reader.push(bytes)) {
        this.#waiting.get(reply.exchange)?.(reply)
        this.#waiting.delete(reply.exchange)
      }
    })
    socket.on('error', () => {})
  }

  static async connect(socketPath: string): Promise<FakeProxy> {
    const socket = connect(socketPath)
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    return new FakeProxy(socket)
  }

  reply(exchange: number): Promise<Frame> {
    return new Promise((resolve) => this.#waiting.set(exchange, resolve))
  }

  /** Sends a request and waits for its acknowledgement. */
  async request(
    options: { open?: OpenPayload; body?: Buffer; head?: Buffer } = {},
  ): Promise<{ exchange: number; id: string; reply: Frame }> {
    const { open = openPayload(), body = requestBody('hi'), head = REQUEST_HEAD } = options
    const exchange = this.#next++
    const replied = this.reply(exchange)
    this.socket.write(
      Buffer.concat([
        frame(FrameType.Open, exchange, open),
        frame(FrameType.RequestHead, exchange, head),
        ...pieces(body).map((piece) => frame(FrameType.RequestBody, exchange, piece)),
        frame(FrameType.RequestEnd, exchange),
      ]),
    )
    return { exchange, id: open.id, reply: await replied }
  }

  respond(exchange: number, body = RESPONSE_BODY, end: EndPayload = COMPLETE, head = RESPONSE_HEAD): void {
    this.socket.write(
      Buffer.concat([
        frame(FrameType.ResponseHead, exchange, head),
        ...pieces(body).map((piece) => frame(FrameType.ResponseBody, exchange, piece)),
        frame(FrameType.End, exchange, end),
      ]),
    )
  }
}

function pieces(body: Buffer): Buffer[] {
  const found: Buffer[] = []
  for (let at = 0; at < body.length; at += 1 << 16) found.push(body.subarray(at, at + (1 << 16)))
  return found
}

export function startMessage(directory: string) {
  const origin = 'agent-anchor.invalid/test'
  const logKey = randomBytes(32)
  return {
    type: 'start' as const,
    stateDir: path.join(directory, 'recorder'),
    socket: path.join(directory, 'recorder.sock'),
    statusSocket: path.join(directory, 'status.sock'),
    bodyKey: randomBytes(32),
    logKey,
    origin,
    verifierKey: ed25519Signer(origin, logKey).verifierKey,
    checkpointIntervalMs: 200,
  }
}
