// One call with AWS's SDK for Bedrock's runtime: the region and credentials come from the environment, as agents have
// them. Its own HTTP/2 is exchanged for HTTP/1.1 where "http1" says so.
//
// usage: node bedrock.mjs '{"prompt": "…", "api": "converse" | "invoke", "stream": bool, "tool": "NAME", "http1": bool}'
// stdout: {"ok": true, "text", "usage", "tools"} or {"ok": false, "error": {…}}
import {
  BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  InvokeModelCommand,
  InvokeModelWithResponseStreamCommand,
} from '@aws-sdk/client-bedrock-runtime'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { report } from './report.mjs'

const { prompt, api = 'converse', stream = false, tool, http1 = false } = JSON.parse(process.argv[2])
const modelId = 'eu.anthropic.claude-sonnet-4-5-20250929-v1:0'

await report(async () => {
  const client = new BedrockRuntimeClient(http1 ? { requestHandler: new NodeHttpHandler() } : {})
  const result = api === 'converse' ? await converse(client) : await invoke(client)
  client.destroy()
  return result
})

async function converse(client) {
  const asked = {
    modelId,
    messages: [{ role: 'user', content: [{ text: prompt }] }],
    inferenceConfig: { maxTokens: 256, temperature: 0.5 },
    ...(tool && {
      toolConfig: {
        tools: [{ toolSpec: { name: tool, inputSchema: { json: { type: 'object' } } } }],
        toolChoice: { any: {} },
      },
    }),
  }
  const result = { text: '', tools: [] }
  const note = (use) => use && result.tools.push({ name: use.name, id: use.toolUseId })
  if (!stream) {
    const { output, usage } = await client.send(new ConverseCommand(asked))
    for (const block of output.message.content) {
      result.text += block.text ?? ''
      note(block.toolUse)
    }
    return { ...result, usage }
  }
  const answer = await client.send(new ConverseStreamCommand(asked))
  for await (const event of answer.stream) {
    note(event.contentBlockStart?.start?.toolUse)
    result.text += event.contentBlockDelta?.delta.text ?? ''
    if (event.metadata) result.usage = event.metadata.usage
  }
  return result
}

async function invoke(client) {
  const content = {
    anthropic_version: 'bedrock-2023-05-31',
    max_tokens: 256,
    messages: [{ role: 'user', content: [{ type: 'text', text: prompt }] }],
  }
  const asked = { modelId, contentType: 'application/json', body: JSON.stringify(content) }
  if (!stream) {
    const { body } = await client.send(new InvokeModelCommand(asked))
    const { id, model, content: said, usage } = JSON.parse(body.transformToString())
    return { id, model, text: said[0].text, usage, tools: [] }
  }
  const { body } = await client.send(new InvokeModelWithResponseStreamCommand(asked))
  const result = { text: '', tools: [] }
  for await (const { chunk } of body) {
    const event = JSON.parse(new TextDecoder().decode(chunk.bytes))
    if (event.type === 'message_start') {
      const { id, model } = event.message
      Object.assign(result, { id, model })
    }
    if (event.type === 'content_block_delta') result.text += event.delta.text
    result.usage = event['amazon-bedrock-invocationMetrics'] ?? result.usage
  }
  return result
}
