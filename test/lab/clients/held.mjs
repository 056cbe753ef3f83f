// One call as an agent makes it, and at once, with the last byte of the answer, a look at how much of the log the chains
// hold.
//
// usage: node held.mjs '{"apiKey": "sk-…", "api": "json" | "sse" | "http2" | "webSocket" | "anthropic", "prompt": "…",
//                        "chains": [{"rpc": URL, "to": CONTRACT, "data": CALL}]}'
// stdout: {"ok": true, "text", "heads": ["0x…" | null]} or {"ok": false, "error": {…}}
import { connect } from 'node:http2'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { ResponsesWS } from 'openai/resources/responses/ws'
import { report } from './report.mjs'

const { apiKey, api, prompt, chains = [] } = JSON.parse(process.argv[2])
const model = 'gpt-4o-mini'
const messages = [{ role: 'user', content: prompt }]
const openai = () => new OpenAI({ apiKey, defaultQuery: { api }, maxRetries: 0 })

const calls = {
  async json() {
    const { choices } = await openai().chat.completions.create({ model, messages })
    return choices[0].message.content
  },
  async sse() {
    let text = ''
    for await (const { choices } of await openai().chat.completions.create({ model, messages, stream: true }))
      text += choices[0]?.delta.content ?? ''
    return text
  },
  async anthropic() {
    const { content } = await new Anthropic({ apiKey, maxRetries: 0 }).messages.create({
      model: 'claude-sonnet-5',
      max_tokens: 64,
      messages,
    })
    return content[0].text
  },
  http2: () =>
    new Promise((resolve, reject) => {
      const session = connect('https://api.openai.com')
      session.on('error', reject)
      const stream = session.request({
        ':method': 'POST',
        ':path': `/v1/chat/completions?api=${api}`,
        authorization: `Bearer ${apiKey}`,
        'content-type': 'application/json',
      })
      const parts = []
      stream.on('error', reject)
      stream.on('data', (part) => parts.push(part))
      stream.on('end', () => {
        session.close()
        const body = Buffer.concat(parts).toString()
        const { choices } = JSON.parse(body)
        if (choices) resolve(choices[0].message.content)
        else reject(new Error(body))
      })
      stream.end(JSON.stringify({ model, messages }))
    }),
  webSocket: () =>
    new Promise((resolve, reject) => {
      const socket = new ResponsesWS(openai())
      let text = ''
      socket.on('error', reject)
      socket.on('response.output_text.delta', ({ delta }) => {
        text += delta
      })
      socket.on('response.completed', () => {
        socket.close()
        resolve(text)
      })
      socket.send({ type: 'response.create', model: 'gpt-5', input: prompt })
    }),
}

const headOf = async ({ rpc, to, data }) => {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'eth_call', params: [{ to, data }, 'latest'] })
  try {
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(rpc, { method: 'POST', headers, body, signal: AbortSignal.timeout(2000) })
    return (await answer.json()).result ?? null
  } catch {
    return null
  }
}

await report(async () => {
  const text = await calls[api]()
  return { text, heads: await Promise.all(chains.map(headOf)) }
})
