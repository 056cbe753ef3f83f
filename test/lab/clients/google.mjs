// One call with Google's GenAI SDK as an agent would make it: nothing is configured but the key.
//
// usage: node google.mjs '{"apiKey": "…", "prompt": "…", "stream": bool, "tool": "NAME"}'
// stdout: {"ok": true, "text", "usage", "model", "id", "tools"} or {"ok": false, "error": {…}}
import { GoogleGenAI } from '@google/genai'
import { report } from './report.mjs'

const { apiKey, prompt, stream = false, tool } = JSON.parse(process.argv[2])

await report(async () => {
  const { models } = new GoogleGenAI({ apiKey })
  const config = {
    maxOutputTokens: 512,
    temperature: 0.5,
    ...(tool && {
      tools: [{ functionDeclarations: [{ name: tool, parameters: { type: 'OBJECT', properties: {} } }] }],
      toolConfig: { functionCallingConfig: { mode: 'ANY' } },
    }),
  }
  const asked = { model: 'gemini-2.5-flash', contents: prompt, config }
  const answers = stream ? await models.generateContentStream(asked) : [await models.generateContent(asked)]
  const result = { text: '', tools: [] }
  for await (const { text, functionCalls, usageMetadata, modelVersion, responseId } of answers) {
    result.text += text ?? ''
    result.tools.push(...(functionCalls ?? []).map(({ name }) => ({ name })))
    Object.assign(result, { usage: usageMetadata, model: modelVersion, id: responseId })
  }
  return result
})
