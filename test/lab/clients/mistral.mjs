// One call with Mistral's SDK as an agent would make it: nothing is configured but the key.
//
// usage: node mistral.mjs '{"apiKey": "…", "prompt": "…", "stream": bool, "tool": "NAME"}'
// stdout: {"ok": true, "text", "usage", "model", "id", "tools"} or {"ok": false, "error": {…}}
import { Mistral } from '@mistralai/mistralai'
import { report } from './report.mjs'

const { apiKey, prompt, stream = false, tool } = JSON.parse(process.argv[2])

await report(async () => {
  const { chat } = new Mistral({ apiKey })
  const asked = {
    model: 'mistral-small-latest',
    maxTokens: 128,
    messages: [{ role: 'user', content: prompt }],
    ...(tool && {
      tools: [{ type: 'function', function: { name: tool, parameters: { type: 'object', properties: {} } } }],
      toolChoice: 'any',
    }),
  }
  const result = { text: '', tools: [] }
  const take = ({ id, model, usage, choices }) => {
    Object.assign(result, { id, model }, usage && { usage })
    for (const { message, delta } of choices) {
      const { content, toolCalls } = message ?? delta
      result.text += content ?? ''
      for (const call of toolCalls ?? []) result.tools.push({ name: call.function.name, id: call.id })
    }
  }
  if (!stream) take(await chat.complete(asked))
  else for await (const { data } of await chat.stream(asked)) take(data)
  return result
})
