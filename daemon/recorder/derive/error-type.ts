/** `error.type`: the provider's own word for what went wrong, which is one of few; else the status code. */
import { field, text } from './fields.ts'
import type { Head } from './http-head.ts'

/** Words only: an explanation in its place may have anything in it. */
const WORD = /^[A-Za-z0-9_.:/-]{1,128}$/

function word(value: unknown): string | undefined {
  const said = text(value)
  return said !== undefined && WORD.test(said) ? said : undefined
}

/** OpenTelemetry's word for a failure that has no name. */
const UNNAMED = '_OTHER'

/**
 * Where bodies and events have it: most of them, OpenAI's streams, its Realtime sessions, the end of a Connect stream,
 * Cohere's last event.
 */
const PLACES = [
  ['error'],
  ['response', 'error'],
  ['response', 'status_details', 'error'],
  ['end', 'error'],
  ['delta', 'error'],
]

/** Of a body or an event: `{error: {code | status | type}}`, `{error: "…"}`; `_OTHER` where it has failed and says no word. */
export function errorTypeOf(body: unknown): string | undefined {
  const error = PLACES.map((place) => field(body, ...place)).find(isThere)
  return (
    // An exception in an AWS event stream; OpenAI's flat `{type: "error", code}`; vLLM's and Mistral's `{object: "error", type}`
    (field(body, 'exception') === true ? word(field(body, 'type')) : undefined) ??
    (field(body, 'type') === 'error' ? word(field(body, 'code')) : undefined) ??
    (field(body, 'object') === 'error' ? word(field(body, 'type')) : undefined) ??
    word(field(error, 'code')) ??
    // Google
    word(field(error, 'status')) ??
    word(field(error, 'type')) ??
    // AWS
    word(field(body, '__type')) ??
    // Text Generation Inference
    word(field(body, 'error_type')) ??
    number(field(error, 'code')) ??
    miniMax(body) ??
    (error === undefined ? undefined : UNNAMED)
  )
}

/** `error: null`, `""`, `{}` and `false` stand in answers that went well. */
function isThere(error: unknown): boolean {
  if (typeof error === 'object' && error !== null) return Object.keys(error).length > 0
  return typeof error === 'string' && error !== ''
}

/** OpenRouter, within a stream whose status was 200. */
function number(code: unknown): string | undefined {
  return typeof code === 'number' && Number.isSafeInteger(code) ? String(code) : undefined
}

/** Every answer of MiniMax has it, failed ones with the status 200. */
function miniMax(body: unknown): string | undefined {
  const code = field(body, 'base_resp', 'status_code')
  return code === 0 ? undefined : number(code)
}

/** What a body says of its failure, where that says more than the status. */
export function betterErrorType(said: string | undefined, status: string | undefined): string | undefined {
  return said === UNNAMED ? (status ?? said) : (said ?? status)
}

/** @returns undefined below 400. */
export function errorTypeOfStatus(status: number | undefined, head: Head): string | undefined {
  if (status === undefined || status < 400) return undefined
  // `ValidationException:http://…`
  const aws = head.fields.get('x-amzn-errortype')?.[0]?.split(':')[0]
  return word(aws) ?? String(status)
}
