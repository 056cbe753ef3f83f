/**
 * The server's half of WebSocket (RFC 6455) as far as a provider's realtime interface needs it: takes messages in
 * however many fragments, answers as the site has it, and a ping and a close as it must.
 */
import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Answer, SiteRequest, Talk } from './answer.ts'
import type { ByteReader } from './byte-reader.ts'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const MAX_MESSAGE = 1024 * 1024
const [CONTINUATION, TEXT, CLOSE, PING, PONG] = [0, 1, 8, 9, 10]

/** The answer to a handshake; undefined where the request is none. */
export function acceptWebSocket({ head }: SiteRequest, talk: Talk): Answer | undefined {
  const key = head.fields.get('sec-websocket-key')
  if (head.fields.get('upgrade')?.toLowerCase() !== 'websocket' || key === undefined) return undefined
  const accept = createHash('sha1')
    .update(key + GUID)
    .digest('base64')
  const fields = [
    ['Upgrade', 'websocket'],
    ['Connection', 'Upgrade'],
    ['Sec-WebSocket-Accept', accept],
  ] as const
  return { status: 101, fields, body: Buffer.alloc(0), talk }
}

/** Speaks it until the client closes. Gives the messages that came, one a line. */
export async function serveWebSocket(reader: ByteReader, socket: Socket, talk: Talk): Promise<Buffer> {
  const say = (texts: readonly string[]) => {
    for (const text of texts) socket.write(frame(TEXT, Buffer.from(text)))
  }
  say(talk.hello)
  const messages: Buffer[] = []
  let fragments: Buffer[] = []
  for (;;) {
    const { final, opcode, payload } = await readFrame(reader)
    if (opcode === CLOSE) {
      socket.end(frame(CLOSE, payload))
      return Buffer.concat(messages.flatMap((message) => [message, Buffer.from('\n')]))
    }
    if (opcode === PING) socket.write(frame(PONG, payload))
    if (opcode === PING || opcode === PONG) continue
    if (opcode !== CONTINUATION) fragments = []
    fragments.push(payload)
    if (!final) continue
    const message = Buffer.concat(fragments)
    messages.push(message)
    say(talk.answer(message.toString()))
  }
}

/** RFC 6455 section 5.2; a client's frames are masked. */
async function readFrame(reader: ByteReader): Promise<{ final: boolean; opcode: number; payload: Buffer }> {
  const [first = 0, second = 0] = await reader.exactly(2)
  if ((second & 0x80) === 0) throw new Error('an unmasked frame of a client')
  const short = second & 0x7f
  if (short === 127) throw new Error('a longer frame than the laboratory takes')
  const length = short === 126 ? (await reader.exactly(2)).readUInt16BE() : short
  if (length > MAX_MESSAGE) throw new Error('a longer message than the laboratory takes')
  const mask = Buffer.from(await reader.exactly(4))
  const payload = Buffer.from(await reader.exactly(length))
  for (let at = 0; at < payload.length; at++) payload[at]! ^= mask[at & 3]!
  return { final: (first & 0x80) !== 0, opcode: first & 0x0f, payload }
}

function frame(opcode: number, payload: Buffer): Buffer {
  const { length } = payload
  const head = length < 126 ? [0x80 | opcode, length] : [0x80 | opcode, 126, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(head), payload])
}
