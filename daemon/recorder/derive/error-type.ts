/** `error.type`: the provider's own word for what went wrong, which is one of few; else the status code. */
import { field, text } from './fields.ts'
import type { Head } from './http-head.ts'

/** Words only: an explanation in its place may have anything in it. */
const WORD = /^[A-Za-z0-9_.:/-]{1,128}$/

function word(value: unknown): string | undefined {
  const said = text(value)
  return said !== undefined && WORD.test(said) ? said : undefined
}

/** Where bodies and events have it: most of them, OpenAI's streams, its Realtime sessions, the end of a Connect stream. */
const PLACES = [['error'], ['response', 'error'], ['response', 'status_details', 'error'], ['end', 'error']]

/** Of a body or an event: `{error: {code | status | type}}`. */
export function errorTypeOf(body: unknown): string | undefined {
  const error = PLACES.map((place) => field(body, ...place)).find((value) => (value ?? null) !== null)
  return (
    // An exception in an AWS event stream; OpenAI's flat `{type: "error", code}`
    (field(body, 'exception') === true ? word(field(body, 'type')) : undefined) ??
    (field(body, 'type') === 'error' ? word(field(body, 'code')) : undefined) ??
    word(field(error, 'code')) ??
    // Google
    word(field(error, 'status')) ??
    word(field(error, 'type')) ??
    // AWS
    word(field(body, '__type'))
  )
}

/** @returns undefined below 400. */
export function errorTypeOfStatus(status: number | undefined, head: Head): string | undefined {
  if (status === undefined || status < 400) return undefined
  // `ValidationException:http://…`
  const aws = head.fields.get('x-amzn-errortype')?.[0]?.split(':')[0]
  return word(aws) ?? String(status)
}
