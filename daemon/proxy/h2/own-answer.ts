/** The gateway's own answer on a stream, as http/answer.ts has it for HTTP/1.1. */
import type { HeaderField } from '../../wire/hpack.ts'
import { answerBody } from '../http/answer.ts'
import { type ProxyError, statusOf } from '../proxy-error.ts'

export interface OwnAnswer {
  readonly fields: readonly HeaderField[]
  readonly body: Buffer
}

export function ownAnswer(error: ProxyError): OwnAnswer {
  const body = Buffer.from(answerBody(error.code, `${error.message}. ${error.remedy}`))
  const field = (name: string, value: string): HeaderField => ({ name, value, indexing: 'kept' })
  const fields = [
    field(':status', String(statusOf(error.code))),
    field('content-type', 'application/json'),
    field('content-length', String(body.length)),
  ]
  return { fields, body }
}
