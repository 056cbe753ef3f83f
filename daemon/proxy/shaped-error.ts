/** An error of the gateway's that is answered in the provider's own shape, as its SDKs show it. */
import type { WireStyle } from '../../policies/catalogue-schema.ts'
import { ProxyError, type ProxyErrorCode, statusOf } from './proxy-error.ts'

export class ShapedError extends ProxyError {
  readonly style: WireStyle

  /** @param style of the call, for the answer */
  constructor(code: ProxyErrorCode, message: string, remedy: string, style: WireStyle) {
    super(code, message, remedy)
    this.style = style
  }
}

/** What providers call an error of this kind. */
interface Kind {
  readonly anthropic: string
  readonly google: string
  readonly openai: string
  /** The name that AWS's SDKs take. */
  readonly aws: string
  readonly connect: string
  /** https://grpc.io/docs/guides/status-codes/ */
  readonly grpc: string
}

const FORBIDDEN: Kind = {
  anthropic: 'permission_error',
  google: 'PERMISSION_DENIED',
  openai: 'permission_error',
  aws: 'AccessDeniedException',
  connect: 'permission_denied',
  grpc: '7',
}
const UNAVAILABLE: Kind = {
  anthropic: 'api_error',
  google: 'UNAVAILABLE',
  openai: 'server_error',
  aws: 'ServiceUnavailableException',
  connect: 'unavailable',
  grpc: '14',
}
/** Asking again by itself would be no help, and a call that is paid for. */
const FAILED: Kind = {
  ...UNAVAILABLE,
  google: 'FAILED_PRECONDITION',
  connect: 'failed_precondition',
  grpc: '9',
}

function kindOf(code: ProxyErrorCode): Kind {
  if (code === 'blocked_by_policy') return FORBIDDEN
  return code === 'answer_not_anchored' ? FAILED : UNAVAILABLE
}

export interface ShapedAnswer {
  readonly status: number
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

/** Status, header fields and JSON, for any version of HTTP. */
export function shapedAnswer(error: ShapedError): ShapedAnswer {
  const { style, code } = error
  return {
    status: statusOf(code),
    fields: [
      ['Content-Type', 'application/json'],
      // AWS's SDKs take an error's name from here.
      ...(style.startsWith('bedrock') ? [['x-amzn-ErrorType', kindOf(code).aws] as const] : []),
    ],
    body: JSON.stringify(shaped(error)),
  }
}

/** The same as an event of a WebSocket: JSON, or undefined where the interface has none for it. */
export function shapedEvent(error: ShapedError): string | undefined {
  const { style, code } = error
  if (!style.startsWith('openai')) return undefined
  const said = { type: kindOf(code).openai, code, message: shapedText(error), param: null }
  return JSON.stringify({ type: 'error', status: statusOf(code), error: said })
}

export const grpcStatus = ({ code }: ShapedError): string => kindOf(code).grpc

/** What the error says, in whatever shape. */
export const shapedText = ({ message, remedy }: ShapedError): string =>
  `Agent Anchor Gateway: ${message}. ${remedy}`

/** Each provider's own error object. */
function shaped(error: ShapedError): object {
  const { style, code } = error
  const message = shapedText(error)
  const kind = kindOf(code)
  switch (style) {
    case 'anthropic-messages':
      return { type: 'error', error: { type: kind.anthropic, message } }
    case 'gemini':
    case 'gemini-live':
      return { error: { code: statusOf(code), message, status: kind.google } }
    case 'bedrock-converse':
    case 'bedrock-invoke':
    case 'cohere-v2':
      return { message }
    case 'ollama':
      return { error: message }
    case 'connect-proto':
      return { code: kind.connect, message }
    case 'openai-chat':
    case 'openai-responses':
    case 'openai-realtime':
    case 'opaque':
      return { error: { message, type: kind.openai, param: null, code } }
  }
}
