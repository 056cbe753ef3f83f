import { type Answer, jsonAnswer, type SiteRequest } from './answer.ts'

/** A web site that is no provider: a page, a file of any size, and an echo of what is posted. */
export function exampleSite(request: SiteRequest): Answer {
  if (request.behaviour.size !== undefined) {
    return page('application/octet-stream', Buffer.alloc(request.behaviour.size, request.path))
  }
  if (request.path === '/echo') return page('application/octet-stream', request.content)
  if (request.path === '/json') return jsonAnswer(200, { hello: 'world' })
  const html = `<!doctype html>\n<title>Example</title>\n<p>No provider lives at ${JSON.stringify(request.path)}.\n`
  return page('text/html; charset=utf-8', Buffer.from(html))
}

function page(type: string, body: Buffer): Answer {
  return { status: 200, fields: [['Content-Type', type]], body }
}
