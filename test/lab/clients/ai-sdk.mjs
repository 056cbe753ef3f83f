// One call with the AI SDK and its OpenAI provider as an agent would make it: nothing is configured but the key, which
// comes from the environment. It speaks OpenAI's responses.
//
// usage: node ai-sdk.mjs '{"prompt": "…", "stream": bool, "tool": "NAME"}'
// stdout: {"ok": true, "text", "usage", "model", "id", "tools"} or {"ok": false, "error": {…}}
import { openai } from '@ai-sdk/openai'
import { generateText, jsonSchema, streamText, tool as toolOf } from 'ai'
import { report } from './report.mjs'

const { prompt, stream = false, tool } = JSON.parse(process.argv[2])

await report(async () => {
  const asked = {
    model: openai('gpt-5'),
    maxOutputTokens: 300,
    maxRetries: 0,
    prompt,
    ...(tool && {
      tools: { [tool]: toolOf({ inputSchema: jsonSchema({ type: 'object', properties: {} }) }) },
      toolChoice: 'required',
    }),
  }
  const answer = stream ? streamText(asked) : await generateText(asked)
  const [text, toolCalls, usage, { id, modelId: model }] = await Promise.all([
    answer.text,
    answer.toolCalls,
    answer.usage,
    answer.response,
  ])
  return {
    ...{ text, usage, id, model },
    tools: toolCalls.map(({ toolName, toolCallId }) => ({ name: toolName, id: toolCallId })),
  }
})
