// One call with the Anthropic SDK as an agent would make it: nothing is configured but the key.
//
// usage: node anthropic.mjs '{"apiKey": "sk-ant-…", "prompt": "…", "stream": bool, "headers": {…}, "count": n,
//                          "tool": "NAME"}'                                   ("tool" must then be called)
// stdout: {"ok": true, "text", "usage", "model", "id", "requestId", "tools", "calls"} or {"ok": false, "error": {…}}
import Anthropic from '@anthropic-ai/sdk'
import { report } from './report.mjs'

const { apiKey, prompt, stream = false, headers = {}, count = 1, tool } = JSON.parse(process.argv[2])

await report(async () => {
  const client = new Anthropic({ apiKey })
  let result
  for (let call = 0; call < count; call++) result = await message(client)
  return { ...result, calls: count }
})

async function message(client) {
  const body = {
    model: 'claude-sonnet-5',
    max_tokens: 1024,
    messages: [{ role: 'user', content: prompt }],
    ...(tool && {
      tools: [{ name: tool, input_schema: { type: 'object', properties: {} } }],
      tool_choice: { type: 'any' },
    }),
  }
  if (!stream) {
    const { data, response } = await client.messages.create(body, { headers }).withResponse()
    const { id, model, usage, content } = data
    const requestId = response.headers.get('request-id')
    return { id, model, usage, text: content[0].text ?? '', tools: toolsOf(content), requestId }
  }
  const { data, response } = await client.messages
    .create({ ...body, stream: true }, { headers })
    .withResponse()
  const result = { text: '', events: 0, tools: [], requestId: response.headers.get('request-id') }
  for await (const event of data) {
    result.events += 1
    if (event.type === 'message_start') Object.assign(result, only(event.message))
    if (event.type === 'content_block_start') result.tools.push(...toolsOf([event.content_block]))
    if (event.type === 'content_block_delta') result.text += event.delta.text ?? ''
    if (event.type === 'message_delta') result.usage = { ...result.usage, ...event.usage }
  }
  return result
}

function toolsOf(content) {
  return content.filter(({ type }) => type === 'tool_use').map(({ name, id }) => ({ name, id }))
}

function only({ id, model, usage }) {
  return { id, model, usage }
}
