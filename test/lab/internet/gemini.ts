/**
 * generativelanguage.googleapis.com as far as agents use it: generateContent and streamGenerateContent, whose stream is
 * SSE where `alt=sse` asks for it and an array else (its API reference).
 */
import {
  type Answer,
  countTokens,
  echo,
  isObject,
  jsonAnswer,
  parseObject,
  type SiteRequest,
  serverSentEvent,
  streamAnswer,
  tokensOf,
} from './answer.ts'
import { idOf } from './serial.ts'

export function gemini(request: SiteRequest): Answer {
  if ((request.head.fields.get('x-goog-api-key') ?? request.query.get('key') ?? '') === '') {
    return failure(403, 'PERMISSION_DENIED', "Method doesn't allow unregistered callers.")
  }
  const [, model, method] = /^\/v1(?:beta)?\/models\/([^/:]+):(\w+)$/.exec(request.path) ?? []
  const asked = parseObject(request.content)
  if (model === undefined || !/^(?:stream)?generateContent$/i.test(method ?? '')) {
    return failure(404, 'NOT_FOUND', 'Requested entity was not found.')
  }
  if (asked === undefined) return failure(400, 'INVALID_ARGUMENT', 'Invalid JSON payload received.')

  const text = echo(lastPartText(asked.contents), request.behaviour)
  const tool = forcedFunction(asked)
  const prompt = countTokens(JSON.stringify(asked.contents))
  const answered = countTokens(text)
  const piece = (parts: unknown[], usage: object, reason?: string) => ({
    candidates: [
      { content: { parts, role: 'model' }, index: 0, ...(reason !== undefined && { finishReason: reason }) },
    ],
    usageMetadata: { promptTokenCount: prompt, totalTokenCount: prompt, ...usage },
    modelVersion: model,
    responseId: idOf(request),
  })
  const usage = {
    candidatesTokenCount: answered,
    thoughtsTokenCount: 3,
    totalTokenCount: prompt + answered + 3,
  }
  const call = tool === undefined ? undefined : { functionCall: { name: tool, args: { said: 'yes' } } }
  if (method === 'generateContent') return jsonAnswer(200, piece([call ?? { text }], usage, 'STOP'))
  const parts = call === undefined ? tokensOf(text).map((token) => ({ text: token })) : [call]
  const events = parts.map((part, i) =>
    i === parts.length - 1 ? piece([part], usage, 'STOP') : piece([part], {}),
  )
  if (request.query.get('alt') === 'sse') return streamAnswer(events.map((event) => serverSentEvent(event)))
  const elements = events.map((event, i) => `${i === 0 ? '[' : ',\r\n'}${JSON.stringify(event, null, 2)}\n`)
  return {
    status: 200,
    fields: [['Content-Type', 'application/json; charset=UTF-8']],
    body: [...elements, ']'],
  }
}

function lastPartText(contents: unknown): string {
  const last: unknown = Array.isArray(contents) ? contents.at(-1) : undefined
  const part: unknown = isObject(last) && Array.isArray(last.parts) ? last.parts[0] : undefined
  return isObject(part) && typeof part.text === 'string' ? part.text : ''
}

/** The first function declared, where the mode is ANY. */
function forcedFunction(asked: Record<string, unknown>): string | undefined {
  const config = isObject(asked.toolConfig) ? asked.toolConfig.functionCallingConfig : undefined
  if (!isObject(config) || config.mode !== 'ANY') return undefined
  const tool: unknown = Array.isArray(asked.tools) ? asked.tools[0] : undefined
  const declared: unknown =
    isObject(tool) && Array.isArray(tool.functionDeclarations) ? tool.functionDeclarations[0] : 0
  return isObject(declared) && typeof declared.name === 'string' ? declared.name : undefined
}

function failure(code: number, status: string, message: string): Answer {
  return jsonAnswer(code, { error: { code, message, status } })
}
