/** The gateway's own answer on a stream, as http/answer.ts has it for HTTP/1.1. */
import type { HeaderField } from '../../wire/hpack.ts'
import { answerBody } from '../http/answer.ts'
import { type ProxyError, statusOf } from '../proxy-error.ts'
import { grpcStatus, ShapedError, shapedAnswer, shapedText } from '../shaped-error.ts'
import type { AgentWindow } from './agent-window.ts'
import type { Sender } from './sender.ts'

/** The stream that is answered. */
export interface Answered {
  readonly stream: number
  /** Undefined where it could not be read. */
  readonly method: string | undefined
  /** Its client takes an error from gRPC's own trailers. */
  readonly grpc: boolean
  /** Nothing more comes of the request. */
  readonly requestDone: boolean
}

/** On a stream that had no answer yet. Where the agent has no room for the body, it gets the status alone. */
export function sendOwnAnswer(
  { toAgent, window }: { readonly toAgent: Sender; readonly window: AgentWindow },
  { stream, method, grpc }: Omit<Answered, 'requestDone'>,
  error: ProxyError,
): void {
  if (grpc && error instanceof ShapedError) {
    toAgent.headers(stream, trailersOnly(error), true)
    return
  }
  const { status, fields, body } = answerOf(error)
  const bytes = Buffer.from(body)
  const withBody = method !== 'HEAD' && window.takeForOwn(bytes.length)
  const head = [
    field(':status', String(status)),
    ...fields.map(([name, value]) => field(name.toLowerCase(), value)),
    ...(withBody || method === 'HEAD' ? [field('content-length', String(bytes.length))] : []),
  ]
  toAgent.headers(stream, head, !withBody)
  if (withBody) toAgent.data(stream, bytes, true)
}

function answerOf(error: ProxyError) {
  if (error instanceof ShapedError) return shapedAnswer(error)
  return {
    status: statusOf(error.code),
    fields: [['content-type', 'application/json']] as const,
    body: answerBody(error.code, `${error.message}. ${error.remedy}`),
  }
}

/** https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses */
const trailersOnly = (error: ShapedError): HeaderField[] => [
  field(':status', '200'),
  field('content-type', 'application/grpc'),
  field('grpc-status', grpcStatus(error)),
  field('grpc-message', percentEncoded(shapedText(error))),
]

/** All but printable ASCII, and the per cent sign itself. */
const percentEncoded = (text: string): string =>
  Array.from(Buffer.from(text), (byte) =>
    byte >= 0x20 && byte <= 0x7e && byte !== 0x25
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
  ).join('')

const field = (name: string, value: string): HeaderField => ({ name, value, indexing: 'kept' })
