/**
 * One POST to a witness. It may lie, hang or send without end: bounded in time and bytes, and redirects aren't followed.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'

export interface Answered {
  readonly status: number
  readonly body: string
}

export type Post = (body: string) => Promise<Answered>

/** A few cosignature lines; the largest to come are of some kilobytes. */
const MAX_ANSWER = 64 << 10

/** @param prefix the witness's submission prefix */
export function poster(prefix: string, timeoutMs: number): Post {
  const url = new URL('add-checkpoint', prefix.endsWith('/') ? prefix : `${prefix}/`)
  const secure = url.protocol === 'https:'
  const agent = secure ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true })
  return (body) => {
    const { promise, resolve, reject } = Promise.withResolvers<Answered>()
    const signal = AbortSignal.timeout(timeoutMs)
    const request = (secure ? httpsRequest : httpRequest)(url, {
      method: 'POST',
      agent,
      signal,
      headers: { 'content-type': 'text/plain; charset=utf-8', 'content-length': Buffer.byteLength(body) },
    })
    request.on('error', (error) => reject(signal.aborted ? new Error('no answer in time') : error))
    request.on('response', (response) => {
      readBounded(response).then(
        (text) => resolve({ status: response.statusCode ?? 0, body: text }),
        (error: unknown) => {
          request.destroy()
          reject(signal.aborted ? new Error('no answer in time') : error)
        },
      )
    })
    request.end(body)
    return promise
  }
}

async function readBounded(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of response as AsyncIterable<Buffer>) {
    length += part.length
    if (length > MAX_ANSWER) throw new Error('an answer without end')
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}
