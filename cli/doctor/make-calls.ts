/**
 * Calls of the canary, made by doctor under an unprivileged uid, all at once:
 * `node make-calls.ts BUNDLE '[{"host":"…","address":"…","method":"POST","path":"/…","body":"…"}]'` prints an outcome for
 * each, in their order.
 */
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { pathToFileURL } from 'node:url'
import { messageOf } from '../../daemon/base/errors.ts'
import type { RuleCall } from './rule-call.ts'

export interface Call extends RuleCall {
  /** What is dialled for the host. */
  readonly address: string
}

/** A status of HTTP, or how the connection failed. */
export type Made = { readonly status: number } | { readonly failed: string }

const WAIT_MS = 10_000

export function makeCall({ host, address, method, path, body }: Call, ca: string): Promise<Made> {
  return new Promise((resolve) => {
    const headers = {
      ...{ host, 'content-type': 'application/json', authorization: 'Bearer canary' },
      'content-length': Buffer.byteLength(body),
    }
    const call = request(
      { host: address, servername: host, method, path, headers, ca, agent: false, timeout: WAIT_MS },
      (response) => {
        response.resume()
        response.on('end', () => resolve({ status: response.statusCode ?? 0 }))
        response.on('error', (error) => resolve({ failed: messageOf(error) }))
      },
    )
    call.on('timeout', () => call.destroy(new Error('no answer came')))
    call.on('error', (error) => resolve({ failed: messageOf(error) }))
    call.end(body)
  })
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const ca = readFileSync(process.argv[2] ?? '', 'utf8')
  const calls = JSON.parse(process.argv[3] ?? '') as Call[]
  process.stdout.write(JSON.stringify(await Promise.all(calls.map((call) => makeCall(call, ca)))))
}
