/** What a request asks for, told by its path and the provider's wire style. */
import { anthropicMessages } from './anthropic-messages.ts'
import { bedrockConverse } from './bedrock-converse.ts'
import { bedrockInvoke } from './bedrock-invoke.ts'
import { cohereV2 } from './cohere-v2.ts'
import { connectProto } from './connect-proto.ts'
import { gemini } from './gemini.ts'
import { ollama } from './ollama.ts'
import { openaiChat } from './openai-chat.ts'
import { openaiResponses } from './openai-responses.ts'
import { pathReadings } from './path-readings.ts'
import type { WireStyle } from './wire-style.ts'

export interface Operation {
  /** An OpenTelemetry operation name, where there is one for it. */
  readonly name?: string
  /** Where the path says it. */
  readonly model?: string
  /** Where the path says it. */
  readonly stream?: boolean
  /** Absent where there is no parser for it. */
  readonly style?: WireStyle
}

interface Route {
  readonly path: RegExp
  readonly method?: string
  readonly name?: string
  readonly style?: WireStyle | ((model: string | undefined) => WireStyle)
  /** Only for providers of these catalogue styles, where the path alone says too little. */
  readonly only?: readonly string[]
}

/**
 * First match wins, in any case: Azure's servers take each. Group `model` of a pattern is the model, `stream` there
 * where the answer is a stream.
 */
const ROUTES: readonly Route[] = [
  { path: /\/messages\/count_tokens$/i },
  { path: /\/deployments\/(?<model>[^/]+)\/chat\/completions$/i, name: 'chat', style: openaiChat },
  { path: /\/deployments\/(?<model>[^/]+)\/completions$/i, name: 'text_completion', style: openaiChat },
  { path: /\/deployments\/(?<model>[^/]+)\/embeddings$/i, name: 'embeddings', style: openaiChat },
  { path: /\/chat\/completions$/i, name: 'chat', style: openaiChat },
  { path: /\/completions$/i, name: 'text_completion', style: openaiChat },
  { path: /\/embeddings$/i, name: 'embeddings', style: openaiChat },
  { path: /\/responses$/i, method: 'POST', name: 'chat', style: openaiResponses },
  { path: /\/v1\/messages$/i, name: 'chat', style: anthropicMessages },
  { path: /\/messages$/i, name: 'chat', style: anthropicMessages, only: ['anthropic-messages'] },
  {
    path: /\/models\/(?<model>[^/:]+):(?<stream>stream)?[gG]enerateContent$/i,
    name: 'generate_content',
    style: gemini,
  },
  { path: /\/models\/(?<model>[^/:]+):(?:batchE|e)mbedContents?$/i, name: 'embeddings', style: gemini },
  { path: /:(?<stream>stream)?[gG]enerateContent$/i, name: 'generate_content', style: gemini },
  // Other makers' models on Vertex
  {
    path: /\/publishers\/anthropic\/models\/(?<model>[^/:]+):(?<stream>stream)?[rR]awPredict$/i,
    name: 'chat',
    style: anthropicMessages,
  },
  {
    path: /\/publishers\/[^/]+\/models\/(?<model>[^/:]+):(?<stream>stream)?[rR]awPredict$/i,
    name: 'chat',
    style: openaiChat,
  },
  { path: /\/model\/(?<model>[^/]+)\/converse(?<stream>-stream)?$/i, name: 'chat', style: bedrockConverse },
  {
    path: /\/model\/(?<model>[^/]+)\/invoke(?<stream>-with-response-stream)?$/i,
    // OpenTelemetry has no name for what may be a chat, embeddings or a picture.
    style: bedrockInvoke,
  },
  { path: /\/v2\/chat$/i, name: 'chat', style: cohereV2 },
  { path: /\/v[12]\/embed$/i, name: 'embeddings', style: cohereV2, only: ['cohere-v2'] },
  { path: /\/api\/chat$/i, name: 'chat', style: ollama },
  { path: /\/api\/generate$/i, name: 'text_completion', style: ollama },
  { path: /\/api\/embed$/i, name: 'embeddings', style: ollama, only: ['ollama'] },
  // Connect's /package.Service/Method
  { path: /\/[\w.]+\.\w+\/\w*Chat\w*$/i, name: 'chat', style: connectProto, only: ['connect-proto'] },
  { path: /\/[\w.]+\.\w+\/\w+$/i, style: connectProto, only: ['connect-proto'] },
]

/** @param target as sent */
export function operationOf(
  method: string | undefined,
  target: string | undefined,
  style: string | undefined,
): Operation {
  return operationsOf(method, target, style)[0] ?? {}
}

/** The same for each way in which a server may read the path, the likeliest first. */
export function operationsOf(
  method: string | undefined,
  target: string | undefined,
  style: string | undefined,
): Operation[] {
  return pathReadings(target ?? '').flatMap((path) => routed(method?.toUpperCase(), path, style) ?? [])
}

function routed(method: string | undefined, path: string, style: string | undefined): Operation | undefined {
  for (const route of ROUTES) {
    if (route.method !== undefined && route.method !== method) continue
    if (route.only !== undefined && (style === undefined || !route.only.includes(style))) continue
    const match = route.path.exec(path)
    if (match === null) continue
    const model = match.groups?.model?.replace(/%2f/gi, '/')
    const parser = typeof route.style === 'function' ? route.style(model) : route.style
    return {
      ...(route.name !== undefined && { name: route.name }),
      ...(model !== undefined && { model }),
      ...(match.groups?.stream !== undefined && { stream: true }),
      ...(parser !== undefined && { style: parser }),
    }
  }
  return undefined
}
