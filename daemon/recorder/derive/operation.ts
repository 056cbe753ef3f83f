/** What a request asks for, told by its path and the provider's wire style. */
import { anthropicMessages } from './anthropic-messages.ts'
import { openaiChat } from './openai-chat.ts'
import { openaiResponses } from './openai-responses.ts'
import type { WireStyle } from './wire-style.ts'

export interface Operation {
  /** An OpenTelemetry operation name, where there is one for it. */
  readonly name?: string
  /** Where the path says it. */
  readonly model?: string
  /** Absent where there is no parser for it. */
  readonly style?: WireStyle
}

interface Route {
  readonly path: RegExp
  readonly method?: string
  readonly name?: string
  readonly style?: WireStyle
  /** Only for providers of these catalogue styles, where the path alone says too little. */
  readonly only?: readonly string[]
}

/** First match wins. Group `model` of a pattern is the model. */
const ROUTES: readonly Route[] = [
  { path: /\/messages\/count_tokens$/ },
  { path: /\/deployments\/(?<model>[^/]+)\/chat\/completions$/, name: 'chat', style: openaiChat },
  { path: /\/deployments\/(?<model>[^/]+)\/completions$/, name: 'text_completion', style: openaiChat },
  { path: /\/deployments\/(?<model>[^/]+)\/embeddings$/, name: 'embeddings', style: openaiChat },
  { path: /\/chat\/completions$/, name: 'chat', style: openaiChat },
  { path: /\/completions$/, name: 'text_completion', style: openaiChat },
  { path: /\/embeddings$/, name: 'embeddings', style: openaiChat },
  { path: /\/responses$/, method: 'POST', name: 'chat', style: openaiResponses },
  { path: /\/v1\/messages$/, name: 'chat', style: anthropicMessages },
  { path: /\/messages$/, name: 'chat', style: anthropicMessages, only: ['anthropic-messages'] },
  { path: /\/models\/(?<model>[^/:]+):(?:stream)?[gG]enerateContent$/, name: 'generate_content' },
  { path: /\/models\/(?<model>[^/:]+):(?:batchE|e)mbedContents?$/, name: 'embeddings' },
  { path: /:(?:stream)?[gG]enerateContent$/, name: 'generate_content' },
  { path: /\/model\/(?<model>[^/]+)\/converse(?:-stream)?$/, name: 'chat' },
  { path: /\/model\/(?<model>[^/]+)\/invoke(?:-with-response-stream)?$/ },
  { path: /\/v2\/chat$/, name: 'chat' },
  { path: /\/api\/chat$/, name: 'chat' },
  { path: /\/api\/generate$/, name: 'text_completion' },
]

export function operationOf(
  method: string | undefined,
  target: string | undefined,
  style: string | undefined,
): Operation {
  const path = (target ?? '').split('?', 1)[0]!.slice(0, 4096)
  for (const route of ROUTES) {
    if (route.method !== undefined && route.method !== method) continue
    if (route.only !== undefined && (style === undefined || !route.only.includes(style))) continue
    const match = route.path.exec(path)
    if (match === null) continue
    const model = match.groups?.model
    return {
      ...(route.name !== undefined && { name: route.name }),
      ...(model !== undefined && { model: decoded(model) }),
      ...(route.style !== undefined && { style: route.style }),
    }
  }
  return {}
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}
