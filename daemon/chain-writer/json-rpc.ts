/**
 * JSON-RPC over HTTP, small: one request at a time is all that a lane needs. Built on node:http and not on fetch or
 * on ethers' providers, which would cost the recorder's process 10 MB and more.
 *
 * Threat model: the endpoint is somebody else's and may lie, hang, or send without end. Answers are bounded in time
 * and in bytes, redirects aren't followed, and what it says of itself is cleaned before anybody shows it. Its
 * address may hold an API key: only the host is ever named.
 */
import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { messageOf } from '../base/errors.ts'
import { ChainError, garbage, type RpcRefusal } from './chain-error.ts'

export interface Rpc {
  /** Host and port, to name it by. */
  readonly host: string
  /** @throws ChainError RPC_UNREACHABLE, RPC_REFUSED, RPC_GARBAGE. */
  call(method: string, params: readonly unknown[]): Promise<unknown>
  /**
   * Where several endpoints stand behind it: a call whose answer is read too, so that one which makes no sense counts
   * against whoever gave it, and the next is asked.
   */
  ask?<T>(method: string, params: readonly unknown[], read: (answer: unknown) => T): Promise<T>
}

/** A block with a few hundred transaction hashes is 50 kB; nothing that is asked for here is larger. */
const MAX_ANSWER = 1 << 20
const DEFAULT_TIMEOUT_MS = 10_000

export interface RpcOptions {
  /** For the whole exchange. Default 10 s. */
  readonly timeoutMs?: number
  /** Ends calls under way. */
  readonly signal?: AbortSignal
}

export function httpRpc(address: string, options: RpcOptions = {}): Rpc {
  const url = new URL(address)
  const secure = url.protocol === 'https:'
  const agent = secure ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true })
  let lastId = 0

  const post = (body: string): Promise<Answer> => {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const timeout = AbortSignal.timeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS)
    const request: ClientRequest = (secure ? httpsRequest : httpRequest)(url, {
      method: 'POST',
      agent,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      signal: options.signal ? AbortSignal.any([options.signal, timeout]) : timeout,
    })
    request.on('error', (error) => {
      reject(
        timeout.aborted
          ? unreachable(url.host, 'no answer in time')
          : unreachable(url.host, messageOf(error), error),
      )
    })
    request.on('response', (response) => {
      readBounded(response).then(
        (text) => {
          const retryAfterMs = retryAfter(response.headers['retry-after'])
          resolve({ status: response.statusCode ?? 0, text, ...(retryAfterMs ? { retryAfterMs } : {}) })
        },
        (error: unknown) => {
          request.destroy()
          reject(error instanceof ChainError ? error : unreachable(url.host, messageOf(error), error))
        },
      )
    })
    request.end(body)
    return promise
  }

  return {
    host: url.host,
    async call(method, params) {
      const id = ++lastId
      return resultOf(
        url.host,
        method,
        id,
        await post(JSON.stringify({ jsonrpc: '2.0', id, method, params })),
      )
    },
  }
}

interface Answer {
  readonly status: number
  readonly text: string
  readonly retryAfterMs?: number
}

/** Of RFC 9110, 10.2.3, the seconds: RPC providers send no dates. An hour at most: who says more is not believed. */
function retryAfter(header: string | undefined): number | undefined {
  return header !== undefined && /^[0-9]{1,9}$/.test(header)
    ? Math.min(Number(header), 3600) * 1000
    : undefined
}

async function readBounded(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of response as AsyncIterable<Buffer>) {
    length += part.length
    if (length > MAX_ANSWER) throw garbage('an answer without end')
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

function resultOf(host: string, method: string, id: number, { status, text, ...more }: Answer): unknown {
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch (error) {
    if (status !== 200) throw refused(host, method, { status, message: `HTTP status ${status}`, ...more })
    throw garbage(`${host} answered ${method} with something that is no JSON`, error)
  }
  if (typeof answer !== 'object' || answer === null)
    throw garbage(`${host} answered ${method} without an object`)
  if ('error' in answer && answer.error !== null && answer.error !== undefined) {
    throw refused(host, method, { ...refusal(answer.error, status), ...more })
  }
  if (status !== 200) throw refused(host, method, { status, message: `HTTP status ${status}`, ...more })
  if (!('id' in answer) || answer.id !== id) throw garbage(`${host} answered another question than ${method}`)
  if (!('result' in answer)) throw garbage(`${host} answered ${method} without a result`)
  return answer.result
}

function refusal(error: unknown, status: number): RpcRefusal {
  const { code, message, data } = (typeof error === 'object' && error !== null ? error : {}) as Record<
    string,
    unknown
  >
  return {
    status: typeof code === 'number' ? code : status,
    message: clean(typeof message === 'string' ? message : 'no reason given'),
    ...(typeof data === 'string' && /^0x[0-9a-f]*$/i.test(data) ? { data: data.slice(0, 2050) } : {}),
  }
}

/** Words of a stranger, fit for a terminal: printable ASCII, one line, short. */
const clean = (text: string) => text.slice(0, 300).replace(/[^\x20-\x7e]+/g, ' ')

function unreachable(host: string, why: string, cause?: unknown): ChainError {
  return new ChainError(
    'RPC_UNREACHABLE',
    `the RPC endpoint ${host} can't be reached: ${why}`,
    'Check that it runs and that this machine may reach it; anchoring catches up by itself.',
    cause,
  )
}

function refused(host: string, method: string, cause: RpcRefusal): ChainError {
  return new ChainError(
    'RPC_REFUSED',
    `the RPC endpoint ${host} refused ${method}: ${cause.message} (${cause.status})`,
    'Check the plan and the limits of the endpoint, or configure another in `chains`.',
    cause,
  )
}
