/** WebSockets: fragments, pings, compression with and without context, turns of two kinds, closes and aborts. */
import { constants, deflateRawSync } from 'node:zlib'
import type { Random } from './random.ts'
import { type Conversation, type Step, say } from './script.ts'

const MOST = 2 << 20
const WINDOW = 32 * 1024
const [CONTINUATION, TEXT, BINARY, CLOSE, PING] = [0, 1, 2, 8, 9]

interface Compression {
  readonly takeover: boolean
  /** The last of what was said before. */
  window: Buffer
}

function frame(random: Random, opcode: number, payload: Buffer, masked: boolean, first = 0x80): Buffer {
  const { length } = payload
  const size = Buffer.alloc(length < 126 ? 1 : length < 65536 ? 3 : 9)
  size[0] = length < 126 ? length : length < 65536 ? 126 : 127
  if (size.length === 3) size.writeUInt16BE(length, 1)
  if (size.length === 9) size.writeUInt32BE(length, 5)
  if (!masked) return Buffer.concat([Buffer.from([first | opcode]), size, payload])
  size[0] = (size[0] as number) | 0x80
  const mask = random.bytes(4)
  const hidden = Buffer.from(payload)
  for (let at = 0; at < length; at++) hidden[at] = (hidden[at] as number) ^ (mask[at & 3] as number)
  return Buffer.concat([Buffer.from([first | opcode]), size, mask, hidden])
}

function message(
  random: Random,
  text: boolean,
  payload: Buffer,
  masked: boolean,
  compression: Compression | undefined,
): Buffer {
  const squeezed = compression !== undefined && random.chance(0.8)
  const body = squeezed ? deflated(payload, compression) : payload
  const parts = random.chance(0.3) ? random.cut(body) : [body]
  const frames = parts.map((part, i) => {
    const first = (i === parts.length - 1 ? 0x80 : 0) | (squeezed && i === 0 ? 0x40 : 0)
    const opcode = i > 0 ? CONTINUATION : text ? TEXT : BINARY
    return frame(random, opcode, part, masked, first)
  })
  if (random.chance(0.1)) frames.splice(1, 0, frame(random, PING, random.bytes(random.int(0, 125)), masked))
  return Buffer.concat(frames)
}

function deflated(payload: Buffer, compression: Compression): Buffer {
  const dictionary = compression.takeover && compression.window.length > 0 ? compression.window : undefined
  const options = { finishFlush: constants.Z_SYNC_FLUSH, ...(dictionary ? { dictionary } : {}) }
  compression.window = Buffer.concat([compression.window, payload]).subarray(-WINDOW)
  return deflateRawSync(payload, options).subarray(0, -4)
}

export function webSocket(random: Random, id: number): Conversation {
  const compressed = random.chance(0.5)
  const takeover = random.chance(0.7)
  const sides = {
    client: compressed ? { takeover, window: Buffer.alloc(0) } : undefined,
    server: compressed ? { takeover, window: Buffer.alloc(0) } : undefined,
  }
  const parameters = takeover ? '' : '; client_no_context_takeover; server_no_context_takeover'
  const extension = compressed ? `Sec-WebSocket-Extensions: permessage-deflate${parameters}\r\n` : ''
  const ask = Buffer.from(
    `GET /v1/d/${id} HTTP/1.1\r\nHost: api.openai.com\r\nUpgrade: websocket\r\nconnection: keep-alive, Upgrade\r\n` +
      `Sec-WebSocket-Key: ${random.text(22)}==\r\nSec-WebSocket-Version: 13\r\n${extension}\r\n`,
  )
  const accept = Buffer.from(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\n${extension}` +
      `Sec-WebSocket-Accept: ${random.text(27)}=\r\n\r\n`,
  )
  const client: Step[] = [{ after: 0, delay: 0, bytes: ask }]
  const provider: Step[] = [{ after: ask.length, delay: 0, bytes: accept }]
  const said: { client: Buffer[]; server: Buffer[] } = { client: [], server: [] }
  let sent = ask.length
  let heard = accept.length
  const known = random.chance(0.5)
  const clientSays = (text: boolean, payload: Buffer) => {
    const raw = message(random, text, payload, true, sides.client)
    client.push(...say(random, raw, heard))
    said.client.push(payload)
    sent += raw.length
  }
  const serverSays = (text: boolean, payload: Buffer) => {
    const raw = message(random, text, payload, false, sides.server)
    provider.push(...say(random, raw, sent))
    said.server.push(payload)
    heard += raw.length
  }
  const json = (value: object) => Buffer.from(JSON.stringify(value))
  if (known && random.chance(0.5)) serverSays(true, json({ type: 'session.created' }))
  for (let turns = random.int(1, 4); turns > 0; turns--) {
    for (let n = random.int(0, 3); n > 0; n--) clientSays(random.chance(0.5), random.bytes(random.size(MOST)))
    if (known) {
      clientSays(true, json({ type: 'response.create', input: random.text(random.int(0, 500)) }))
      serverSays(true, json({ type: 'response.created', response: {} }))
      for (let n = random.int(0, 10); n > 0; n--) {
        serverSays(true, json({ type: 'response.output_text.delta', delta: random.text(random.int(0, 50)) }))
      }
      serverSays(true, json({ type: 'response.completed', response: { id: `r${turns}` } }))
    } else {
      clientSays(true, Buffer.from(random.text(random.int(0, 200))))
      for (let n = random.int(1, 4); n > 0; n--)
        serverSays(random.chance(0.5), random.bytes(random.size(MOST)))
    }
  }
  if (!compressed && random.chance(0.15)) {
    const payload = random.bytes(random.int(10, 5000))
    const raw = frame(random, BINARY, payload, true)
    const part = raw.length - random.int(1, payload.length - 1)
    client.push({ after: heard, delay: 0, bytes: raw.subarray(0, part) })
    sent += part
    said.client.push(payload.subarray(0, payload.length - (raw.length - part)))
    client.push({ after: 0, whenHeard: sent, delay: 0, leave: 'destroy' })
  } else {
    const bye = Buffer.concat([Buffer.from([0x03, 0xe8]), Buffer.from(random.text(random.int(0, 50)))])
    const asked = frame(random, CLOSE, bye, true)
    const answered = frame(random, CLOSE, bye, false)
    client.push({ after: heard, delay: 0, bytes: asked })
    sent += asked.length
    provider.push({ after: sent, delay: 0, bytes: answered, leave: 'end' })
    heard += answered.length
  }
  const nothing = Buffer.alloc(0)
  const stored = { request: nothing, response: nothing }
  return {
    protocol: 'web-socket',
    exchanges: [{ id, request: sent, response: heard, provider, stored, messages: said }],
    client,
  }
}
