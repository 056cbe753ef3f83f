// One call with the OpenAI SDK as an agent would make it: nothing is configured but the key.
//
// usage: node openai.mjs '{"apiKey": "sk-…", "prompt": "…", "api": "chat" | "responses", "stream": bool,
//                          "headers": {…}, "count": n, "tool": "NAME"}'       ("tool" must then be called)
// stdout: {"ok": true, "text", "usage", "model", "id", "requestId", "tools", "calls"} or {"ok": false, "error": {…}}
import OpenAI from 'openai'
import { report } from './report.mjs'

const {
  apiKey,
  prompt,
  api = 'chat',
  stream = false,
  headers = {},
  count = 1,
  tool,
} = JSON.parse(process.argv[2])

const definition = { name: tool, parameters: { type: 'object', properties: {} } }

await report(async () => {
  const client = new OpenAI({ apiKey })
  let result
  for (let call = 0; call < count; call++) {
    result = api === 'chat' ? await chat(client) : await responses(client)
  }
  return { ...result, calls: count }
})

async function chat(client) {
  const body = {
    model: 'gpt-4o-mini',
    messages: [{ role: 'user', content: prompt }],
    ...(tool && { tools: [{ type: 'function', function: definition }], tool_choice: 'required' }),
  }
  if (!stream) {
    const { data, response } = await client.chat.completions.create(body, { headers }).withResponse()
    const { id, model, usage, choices } = data
    return {
      id,
      model,
      usage,
      text: choices[0].message.content ?? '',
      tools: (choices[0].message.tool_calls ?? []).map((call) => ({ name: call.function.name, id: call.id })),
      requestId: response.headers.get('x-request-id'),
    }
  }
  const streaming = { ...body, stream: true, stream_options: { include_usage: true } }
  const { data, response } = await client.chat.completions.create(streaming, { headers }).withResponse()
  const result = { text: '', events: 0, tools: [], requestId: response.headers.get('x-request-id') }
  for await (const chunk of data) {
    result.events += 1
    result.id = chunk.id
    result.model = chunk.model
    result.text += chunk.choices[0]?.delta.content ?? ''
    for (const call of chunk.choices[0]?.delta.tool_calls ?? []) {
      if (call.id) result.tools.push({ name: call.function.name, id: call.id })
    }
    if (chunk.usage) result.usage = chunk.usage
  }
  return result
}

async function responses(client) {
  const body = {
    model: 'gpt-5',
    input: prompt,
    ...(tool && { tools: [{ type: 'function', ...definition }], tool_choice: 'required' }),
  }
  if (!stream) {
    const { data, response } = await client.responses.create(body, { headers }).withResponse()
    const { id, model, usage, output_text: text, output } = data
    return { id, model, usage, text, tools: toolsOf(output), requestId: response.headers.get('x-request-id') }
  }
  const { data, response } = await client.responses
    .create({ ...body, stream: true }, { headers })
    .withResponse()
  const result = { text: '', events: 0, tools: [], requestId: response.headers.get('x-request-id') }
  for await (const event of data) {
    result.events += 1
    if (event.type === 'response.output_text.delta') result.text += event.delta
    if (event.type === 'response.completed') {
      Object.assign(result, only(event.response), { tools: toolsOf(event.response.output) })
    }
  }
  return result
}

function toolsOf(output) {
  return output.filter(({ type }) => type === 'function_call').map(({ name, call_id: id }) => ({ name, id }))
}

function only({ id, model, usage }) {
  return { id, model, usage }
}
