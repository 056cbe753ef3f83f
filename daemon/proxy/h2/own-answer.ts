/** The gateway's own answer on a stream, as http/answer.ts has it for HTTP/1.1. */
import type { HeaderField } from '../../wire/hpack.ts'
import { answerBody } from '../http/answer.ts'
import { type ProxyError, statusOf } from '../proxy-error.ts'
import type { AgentWindow } from './agent-window.ts'
import type { Sender } from './sender.ts'

/** On a stream that had no answer yet. Where the agent has no room for the body, it gets the status alone. */
export function sendOwnAnswer(
  { toAgent, window }: { readonly toAgent: Sender; readonly window: AgentWindow },
  stream: number,
  error: ProxyError,
  method: string | undefined,
): void {
  const body = Buffer.from(answerBody(error.code, `${error.message}. ${error.remedy}`))
  const withBody = method !== 'HEAD' && window.takeForOwn(body.length)
  const fields = [
    field(':status', String(statusOf(error.code))),
    field('content-type', 'application/json'),
    ...(withBody || method === 'HEAD' ? [field('content-length', String(body.length))] : []),
  ]
  toAgent.headers(stream, fields, !withBody)
  if (withBody) toAgent.data(stream, body, true)
}

const field = (name: string, value: string): HeaderField => ({ name, value, indexing: 'kept' })
