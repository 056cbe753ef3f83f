import { randomBytes } from 'node:crypto'
import {
  createServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { messageOf } from '../../../daemon/base/errors.ts'
import { type Answer, bytesOf, type SiteHandler } from './answer.ts'
import { parseBehaviour } from './behaviour.ts'
import { answerGrpc } from './grpc-echo.ts'
import type { WireLogWriter } from './wire-log-writer.ts'

/**
 * Serves HTTP/2 on one connection, logging each stream as an exchange: heads as lines in the order they came, bodies
 * without frames.
 */
export function serveHttp2(
  socket: TLSSocket,
  connection: number,
  handler: SiteHandler,
  log: WireLogWriter,
): void {
  const server = createServer()
  const failed = (error: unknown) => log.add(() => ({ type: 'error', connection, message: messageOf(error) }))
  server.on('sessionError', failed)
  server.on('stream', (stream, headers, _flags, raw: unknown) => {
    stream.on('error', failed)
    serve(stream, headers, raw as string[], connection, handler, log).catch(failed)
  })
  server.emit('connection', socket)
}

async function serve(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  raw: string[],
  connection: number,
  handler: SiteHandler,
  log: WireLogWriter,
): Promise<void> {
  const at = Date.now()
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  const content = Buffer.concat(chunks)
  const method = `${headers[':method']}`
  const target = `${headers[':path']}`
  const sent: Buffer[] = []
  if (`${headers['content-type']}`.startsWith('application/grpc')) {
    sent.push(await answerGrpc(stream, target, content))
  } else {
    const fields = new Map(Object.entries(headers).map(([name, value]) => [name, `${value}`]))
    const url = new URL(target, 'https://laboratory.invalid')
    const head = { method, target, fields, raw: Buffer.from(lines(raw)) }
    const behaviour = parseBehaviour(fields.get('x-lab'))
    const serial = randomBytes(16).toString('hex')
    const made = handler({ head, path: url.pathname, query: url.searchParams, content, behaviour, serial })
    sent.push(await answer(stream, made))
  }
  log.add(() => ({
    type: 'exchange',
    connection,
    at,
    method,
    target,
    head: Buffer.from(lines(raw)).toString('base64'),
    body: content.toString('base64'),
    response: Buffer.concat(sent).toString('base64'),
    complete: true,
  }))
}

async function answer(stream: ServerHttp2Stream, { status, fields, body }: Answer): Promise<Buffer> {
  const headers: OutgoingHttpHeaders = { ':status': status }
  for (const [name, value] of fields) headers[name.toLowerCase()] = value
  stream.respond(headers)
  const pieces = Buffer.isBuffer(body) ? [body] : body.map(bytesOf)
  for (const piece of pieces) {
    await new Promise<void>((done, failed) => {
      stream.write(piece, (error) => (error ? failed(error) : done()))
    })
  }
  stream.end()
  return Buffer.concat(pieces)
}

function lines(raw: readonly string[]): string {
  let text = ''
  for (let i = 0; i < raw.length; i += 2) text += `${raw[i]}: ${raw[i + 1]}\r\n`
  return `${text}\r\n`
}
