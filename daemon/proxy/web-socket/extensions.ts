/** What the two sides agreed on in the handshake (RFC 6455 §9.1, RFC 7692 §7). */
import type { AnyHead, AnyRequestHead } from '../credentials/redact.ts'
import type { RequestHead, ResponseHead } from '../http/head.ts'

export interface Extensions {
  /** permessage-deflate; says of each side whether a message may refer to those before it. */
  readonly deflate?: { readonly client: boolean; readonly server: boolean }
  /** Something that the gateway can't undo: messages are recorded as they came. */
  readonly unknown: boolean
}

/** Do these two heads turn a connection into a WebSocket? */
export const isWebSocket = (request: RequestHead, response: ResponseHead): boolean =>
  asksForWebSocket(request) && asksForWebSocket(response)

export const asksForWebSocket = (head: AnyHead): boolean =>
  valuesOf(head, 'upgrade').some((value) => value.toLowerCase() === 'websocket')

export function extensionsOf(response: AnyHead): Extensions {
  const agreed = valuesOf(response, 'sec-websocket-extensions')
  if (agreed.length === 0) return { unknown: false }
  const [name, ...parameters] = (agreed[0] as string).split(';').map((part) => part.trim().toLowerCase())
  if (agreed.length > 1 || name !== 'permessage-deflate') return { unknown: true }
  const takeover = (side: string) => !parameters.includes(`${side}_no_context_takeover`)
  return { deflate: { client: takeover('client'), server: takeover('server') }, unknown: false }
}

/** Path and query of a handshake. */
export const targetOf = (request: AnyRequestHead): string =>
  'target' in request ? request.target : (request.fields.find(({ name }) => name === ':path')?.value ?? '')

function valuesOf(head: AnyHead, name: string): string[] {
  return head.fields
    .filter((field) => field.name === name)
    .flatMap(({ value }) => value.split(','))
    .map((value) => value.trim())
    .filter((value) => value !== '')
}
