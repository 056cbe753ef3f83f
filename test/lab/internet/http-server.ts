import { randomBytes } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { messageOf } from '../../../daemon/base/errors.ts'
import { type Answer, bytesOf, jsonAnswer, type SiteHandler, type Talk } from './answer.ts'
import { type Behaviour, parseBehaviour } from './behaviour.ts'
import { ByteReader } from './byte-reader.ts'
import { type HttpBody, type HttpHead, readBody, readHead } from './http-request.ts'
import { stampable, stampNow } from './stamp.ts'
import { serveWebSocket } from './web-socket.ts'
import type { WireLogWriter } from './wire-log-writer.ts'

/**
 * Serves HTTP/1.1 on one connection until the client leaves, logging each exchange. Own framing rather
 * than node:http, because tests compare the bytes themselves and ask for answers that break off.
 */
export async function serveHttp(
  socket: Socket,
  connection: number,
  handler: SiteHandler,
  log: WireLogWriter,
): Promise<void> {
  const reader = new ByteReader(socket)
  // Every error also ends the reader, which is where it is noticed.
  socket.on('error', () => {})
  try {
    for (;;) {
      const head = await readHead(reader)
      if (head === undefined) break
      const at = Date.now()
      const sent: Buffer[] = []
      const send = (bytes: Buffer | string) => write(socket, bytes, sent)
      let body: HttpBody = { raw: Buffer.alloc(0), content: Buffer.alloc(0) }
      let complete = false
      try {
        if (head.fields.get('expect') === '100-continue') await send('HTTP/1.1 100 Continue\r\n\r\n')
        body = await readBody(reader, head)
        const answered = await answer(socket, send, head, body.content, handler)
        complete = answered !== false
        if (typeof answered === 'object') {
          const raw = await serveWebSocket(reader, socket, answered)
          body = { raw, content: raw }
        }
      } finally {
        log.add(() => ({
          type: 'exchange',
          connection,
          at,
          method: head.method,
          target: head.target,
          head: head.raw.toString('base64'),
          body: body.raw.toString('base64'),
          response: Buffer.concat(sent).toString('base64'),
          complete,
        }))
      }
      if (!complete || wantsClose(head) || socket.writableEnded) break
    }
    socket.end()
  } catch (error) {
    log.add(() => ({ type: 'error', connection, message: messageOf(error) }))
    socket.destroy()
  }
}

/** Sends what the handler answers in the way the behaviour asks for; whether it went out whole, or what a 101 leads to. */
async function answer(
  socket: Socket,
  send: (bytes: Buffer | string) => Promise<void>,
  head: HttpHead,
  content: Buffer,
  handler: SiteHandler,
): Promise<boolean | Talk> {
  const url = new URL(head.target, 'https://laboratory.invalid')
  const asked = askedBehaviour(head, url)
  if (asked instanceof Error) {
    const refusal = frame(jsonAnswer(400, { error: { message: asked.message } }), head, parseBehaviour(''))
    await send(Buffer.concat([refusal.head, ...refusal.pieces]))
    return true
  }
  const behaviour = asked
  const serial = randomBytes(16).toString('hex')
  const made = handler({ head, path: url.pathname, query: url.searchParams, content, behaviour, serial })
  if (behaviour.delay > 0) await sleep(behaviour.delay)
  if (behaviour.close === 'silent') {
    socket.destroy()
    return false
  }
  if (made.talk) {
    const lines = made.fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
    await send(`HTTP/1.1 ${made.status} Switching Protocols\r\n${lines}\r\n`)
    return made.talk
  }
  const framed = frame(made, head, behaviour)
  if (behaviour.close === 'head') {
    await send(framed.head)
    socket.end()
    return false
  }
  if (framed.pieces.length <= 1) {
    const body = framed.pieces[0] ?? Buffer.alloc(0)
    if (behaviour.cut === undefined) {
      await send(Buffer.concat([framed.head, body]))
    } else {
      await send(Buffer.concat([framed.head, body.subarray(0, body.length >> 1)]))
      socket.end()
      return false
    }
  } else {
    await send(framed.head)
    for (const [index, piece] of framed.pieces.entries()) {
      if (index === behaviour.cut) {
        socket.end()
        return false
      }
      if (index > 0 && behaviour.pace > 0) await sleep(behaviour.pace)
      if (behaviour.stamp) stampNow(piece)
      await send(piece)
    }
  }
  if (behaviour.framing === 'close') socket.end()
  return true
}

/** In the query where the client can send no header of its own. */
function askedBehaviour(head: HttpHead, url: URL): Behaviour | Error {
  try {
    return parseBehaviour(head.fields.get('x-lab') ?? url.searchParams.get('x-lab') ?? undefined)
  } catch (error) {
    return new Error(messageOf(error))
  }
}

/** An answer's head and the pieces of its body as they go onto the wire. */
function frame(made: Answer, request: HttpHead, behaviour: Behaviour): { head: Buffer; pieces: Buffer[] } {
  const accepts = /\bgzip\b/.test(request.fields.get('accept-encoding') ?? '')
  const streams = !Buffer.isBuffer(made.body)
  const compress = accepts && (streams ? behaviour.gzip === 'stream' : made.body.length > 0)
  const fields: [string, string][] = [
    ['Date', new Date().toUTCString()],
    ...made.fields.map(([name, value]): [string, string] => [name, value]),
  ]
  if (compress) fields.push(['Content-Encoding', 'gzip'])
  if (behaviour.altSvc) fields.push(['Alt-Svc', 'h3=":443"; ma=86400'])
  if (behaviour.location !== undefined) fields.push(['Location', behaviour.location])
  let contents: Buffer[]
  if (Buffer.isBuffer(made.body)) contents = [compress ? gzipSync(made.body) : made.body]
  else if (compress) contents = [gzipSync(Buffer.concat(made.body.map(bytesOf)))]
  else
    contents = made.body.map((event) =>
      bytesOf(behaviour.stamp && typeof event === 'string' ? stampable(event) : event),
    )

  let pieces = contents
  if (behaviour.framing === 'close') fields.push(['Connection', 'close'])
  else fields.push(['Connection', wantsClose(request) ? 'close' : 'keep-alive'])
  if (streams ? behaviour.framing !== 'close' : behaviour.framing === 'chunked') {
    fields.push(['Transfer-Encoding', 'chunked'])
    pieces = [...contents.map(chunkOf), Buffer.from('0\r\n\r\n')]
  } else if (!streams && behaviour.framing === 'length') {
    fields.push(['Content-Length', String(contents[0]?.length ?? 0)])
  }
  if (request.method === 'HEAD') pieces = []
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const reason = STATUS_CODES[made.status] ?? 'Unknown'
  return { head: Buffer.from(`HTTP/1.1 ${made.status} ${reason}\r\n${lines}\r\n`, 'latin1'), pieces }
}

function chunkOf(content: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${content.length.toString(16)}\r\n`), content, Buffer.from('\r\n')])
}

function wantsClose(head: HttpHead): boolean {
  return /\bclose\b/i.test(head.fields.get('connection') ?? '')
}

/** Writes and waits until the kernel has taken the bytes, so that a slow reader slows the site down. */
async function write(socket: Socket, bytes: Buffer | string, sent: Buffer[]): Promise<void> {
  const buffer = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes
  await new Promise<void>((done, failed) => {
    socket.write(buffer, (error) => (error ? failed(error) : done()))
  })
  sent.push(buffer)
}
