/** A request that a rule blocks, and the answer that says so in the provider's own shape, as its SDKs show it. */
import type { WireStyle } from '../../../policies/catalogue-schema.ts'
import { ProxyError } from '../proxy-error.ts'
import type { Judged } from './judged.ts'

export class PolicyBlock extends ProxyError {
  readonly style: WireStyle

  /** @param style of the call, for the answer */
  constructor({ rule = '', found = [], unknown = [] }: Judged, style: WireStyle) {
    const why = [
      found.length > 0 ? `it holds ${found.join(', ')}` : '',
      unknown.length > 0 ? `this could not be told or done: ${unknown.join(', ')}` : '',
    ]
    super(
      'blocked_by_policy',
      [`the rule ${rule} of this machine's policy blocks it`, ...why].filter(Boolean).join('; '),
      `Ask this machine's administrator, who can see why: agent-anchor policy explain.`,
    )
    this.style = style
  }
}

export interface BlockAnswer {
  readonly status: 403
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

/** Status, header fields and JSON, for any version of HTTP. */
export function blockAnswer(block: PolicyBlock): BlockAnswer {
  const { style } = block
  return {
    status: 403,
    fields: [
      ['Content-Type', 'application/json'],
      // AWS's SDKs take an error's name from here.
      ...(style.startsWith('bedrock') ? [['x-amzn-ErrorType', 'AccessDeniedException'] as const] : []),
    ],
    body: JSON.stringify(shaped(style, blockText(block))),
  }
}

/** What the error says, in whatever shape. */
export const blockText = ({ message, remedy }: PolicyBlock): string =>
  `Agent Anchor Gateway: ${message}. ${remedy}`

/** Each provider's own error object. */
function shaped(style: WireStyle, message: string): object {
  switch (style) {
    case 'anthropic-messages':
      return { type: 'error', error: { type: 'permission_error', message } }
    case 'gemini':
    case 'gemini-live':
      return { error: { code: 403, message, status: 'PERMISSION_DENIED' } }
    case 'bedrock-converse':
    case 'bedrock-invoke':
    case 'cohere-v2':
      return { message }
    case 'ollama':
      return { error: message }
    case 'connect-proto':
      return { code: 'permission_denied', message }
    case 'openai-chat':
    case 'openai-responses':
    case 'openai-realtime':
    case 'opaque':
      return { error: { message, type: 'permission_error', param: null, code: 'blocked_by_policy' } }
  }
}
