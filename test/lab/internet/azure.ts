import type { Answer, SiteRequest } from './answer.ts'
import { openai } from './openai.ts'

/** Azure's OpenAI: the deployment in the path, the key in a header of its own, the rest as OpenAI has it. */
export function azure(request: SiteRequest): Answer {
  const fields = new Map(request.head.fields)
  const key = fields.get('api-key')
  if (key !== undefined) fields.set('authorization', `Bearer ${key}`)
  const path = request.path.replace(/^\/openai\/(?:deployments\/[^/]+|v1)\//, '/v1/')
  return openai({ ...request, path, head: { ...request.head, fields } })
}
