/** The gateway's own answers: JSON that SDKs show as it is, shaped like the providers' error objects. */
import { STATUS_CODES } from 'node:http'
import { type ProxyError, type ProxyErrorCode, statusOf } from '../proxy-error.ts'
import { ShapedError, shapedAnswer } from '../shaped-error.ts'

/** A whole response; the connection ends after it. `message` must hold no header value and no body. */
export function gatewayAnswer(code: ProxyErrorCode, message: string, method: string | undefined): Buffer {
  return response(statusOf(code), [['Content-Type', 'application/json']], answerBody(code, message), method)
}

/** The same for an error of an exchange; in the provider's own shape where it has one. */
export function answerTo(error: ProxyError, method: string | undefined): Buffer {
  if (!(error instanceof ShapedError))
    return gatewayAnswer(error.code, `${error.message}. ${error.remedy}`, method)
  const { status, fields, body } = shapedAnswer(error)
  return response(status, fields, body, method)
}

function response(
  status: number,
  fields: readonly (readonly [string, string])[],
  body: string,
  method: string | undefined,
): Buffer {
  const head =
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\n` +
    fields.map(([name, value]) => `${name}: ${value}\r\n`).join('') +
    `Content-Length: ${Buffer.byteLength(body)}\r\n` +
    'Connection: close\r\n\r\n'
  return Buffer.from(method === 'HEAD' ? head : head + body)
}

export function answerBody(code: ProxyErrorCode, message: string): string {
  return JSON.stringify({
    error: { type: 'agent_anchor_gateway', code, message: `Agent Anchor Gateway: ${message}` },
  })
}
