/** The gateway's own answers: JSON that SDKs show as it is, shaped like the providers' error objects. */
import { STATUS_CODES } from 'node:http'
import { type ProxyErrorCode, statusOf } from '../proxy-error.ts'

/** A whole response; the connection ends after it. `message` must hold no header value and no body. */
export function gatewayAnswer(code: ProxyErrorCode, message: string, method: string | undefined): Buffer {
  const status = statusOf(code)
  const body = answerBody(code, message)
  const head =
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\n` +
    'Content-Type: application/json\r\n' +
    `Content-Length: ${Buffer.byteLength(body)}\r\n` +
    'Connection: close\r\n\r\n'
  return Buffer.from(method === 'HEAD' ? head : head + body)
}

export function answerBody(code: ProxyErrorCode, message: string): string {
  return JSON.stringify({
    error: { type: 'agent_anchor_gateway', code, message: `Agent Anchor Gateway: ${message}` },
  })
}
