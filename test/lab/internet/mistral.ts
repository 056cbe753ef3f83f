/** api.mistral.ai as far as agents use it: chat completions, whose streams always tell the usage. */
import { type Answer, jsonAnswer, parseObject, type SiteRequest } from './answer.ts'
import { chatCompletion } from './chat-completions.ts'

export function mistral(request: SiteRequest): Answer {
  if (!/^Bearer \S+$/.test(request.head.fields.get('authorization') ?? '')) {
    return jsonAnswer(401, { detail: 'Unauthorized' })
  }
  const asked = parseObject(request.content)
  if (request.path !== '/v1/chat/completions' || typeof asked?.model !== 'string') {
    return jsonAnswer(404, { detail: 'Not Found' })
  }
  return chatCompletion(request, asked, asked.model, [['mistral-correlation-id', request.serial]], true)
}
