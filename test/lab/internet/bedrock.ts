import {
  type Answer,
  countTokens,
  echo,
  jsonAnswer,
  lastText,
  parseObject,
  type SiteRequest,
} from './answer.ts'

/** Amazon Bedrock's Converse (its API reference: POST /model/{modelId}/converse). Signatures are not looked at. */
export function bedrock(request: SiteRequest): Answer {
  if (request.head.method !== 'POST' || !/^\/model\/[^/]+\/converse$/.test(request.path)) {
    return jsonAnswer(404, { message: 'Not found' }, [['x-amzn-errortype', 'UnknownOperationException']])
  }
  const text = echo(lastText(parseObject(request.content)?.messages), request.behaviour)
  const inputTokens = countTokens(request.content.toString())
  const outputTokens = countTokens(text)
  return jsonAnswer(
    200,
    {
      output: { message: { role: 'assistant', content: [{ text }] } },
      stopReason: 'end_turn',
      usage: { inputTokens, outputTokens, totalTokens: inputTokens + outputTokens },
      metrics: { latencyMs: 12 },
    },
    [['x-amzn-RequestId', request.serial]],
  )
}
