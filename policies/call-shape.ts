/**
 * LLM calls told by their shape, for hosts that no catalogue knows: the paths that the wire styles share, below
 * any prefix. What can be seen so is plain HTTP and TLS that we intercept; elsewhere only names and addresses tell.
 */
import { type Provider, UNLISTED, type WireStyle } from './catalogue-schema.ts'
import { freeze } from './frozen.ts'
import { matchesPath, pathForms } from './governed-path.ts'

interface Shape {
  readonly style: WireStyle
  readonly paths: readonly string[]
}

/** POST requests; the paths are those of the providers' own documentation. The first that matches names the style. */
const POSTED: readonly Shape[] = [
  { style: 'openai-chat', paths: ['/**/completions', '/**/embeddings', '/**/v1/rerank', '/completion'] },
  { style: 'openai-responses', paths: ['/**/v1/responses', '/**/openai/responses', '/**/codex/responses'] },
  {
    style: 'anthropic-messages',
    paths: ['/**/v1/messages', '/**/v1/messages/count_tokens', '/**/v1/messages/batches', '/**/v1/complete'],
  },
  {
    style: 'gemini',
    paths: [
      '/**/*:generateContent',
      '/**/*:streamGenerateContent',
      '/**/*:countTokens',
      '/**/*:embedContent',
      '/**/*:batchEmbedContents',
    ],
  },
  // Anthropic's models on Vertex AI.
  { style: 'anthropic-messages', paths: ['/**/models/*:rawPredict', '/**/models/*:streamRawPredict'] },
  { style: 'bedrock-converse', paths: ['/**/model/*/converse', '/**/model/*/converse-stream'] },
  {
    style: 'bedrock-invoke',
    paths: ['/**/model/*/invoke', '/**/model/*/invoke-with-response-stream'],
  },
  { style: 'cohere-v2', paths: ['/**/v2/chat', '/**/v2/embed', '/**/v2/rerank'] },
  { style: 'ollama', paths: ['/**/api/chat', '/**/api/generate', '/**/api/embed'] },
  // Text Generation Inference and KoboldCpp.
  { style: 'opaque', paths: ['/**/generate_stream', '/**/api/v1/generate'] },
]

/** GET requests that open a WebSocket. */
const UPGRADED: readonly Shape[] = [
  { style: 'openai-responses', paths: ['/**/v1/responses'] },
  { style: 'openai-realtime', paths: ['/**/v1/realtime', '/**/openai/realtime'] },
  { style: 'gemini-live', paths: ['/ws/*.BidiGenerateContent'] },
]

/** The wire style that a request has the shape of. @param target as sent; hostile */
export function callShape(method: string, target: string): WireStyle | undefined {
  const verb = method.toUpperCase()
  const shapes = verb === 'POST' ? POSTED : verb === 'GET' ? UPGRADED : undefined
  if (shapes === undefined) return undefined
  const forms = pathForms(target)
  return shapes.find(({ paths }) => paths.some((pattern) => matchesPath(pattern, forms)))?.style
}

const paths = [...new Set([...POSTED, ...UPGRADED].flatMap((shape) => shape.paths))]
const providers = new Map<WireStyle, Provider>()

/** The provider of a host in no catalogue, governed only for requests of an LLM call's shape. */
export function unlistedProvider(style: WireStyle): Provider {
  const known = providers.get(style)
  if (known) return known
  const made: Provider = freeze({
    id: UNLISTED,
    telemetryName: UNLISTED,
    style,
    hosts: [],
    unconfirmed: [],
    keepBodies: true,
    paths,
  })
  providers.set(style, made)
  return made
}
