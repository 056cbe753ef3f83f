// One session over WebSocket with the OpenAI SDK as an agent would have it: a turn for each prompt.
//
// usage: node openai-web-socket.mjs '{"apiKey": "sk-…", "api": "realtime" | "responses", "prompts": ["…"]}'
// stdout: {"ok": true, "turns": [{"id", "text", "tools", "usage", "events"}]} or {"ok": false, "error": {…}}
import OpenAI from 'openai'
import { OpenAIRealtimeWS } from 'openai/realtime/ws'
import { ResponsesWS } from 'openai/resources/responses/ws'
import { report } from './report.mjs'

const { apiKey, api, prompts } = JSON.parse(process.argv[2])
const tools = [
  {
    type: 'function',
    name: 'get_weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } } },
  },
]

await report(async () => {
  const client = new OpenAI({ apiKey })
  const socket =
    api === 'realtime' ? new OpenAIRealtimeWS({ model: 'gpt-realtime' }, client) : new ResponsesWS(client)
  const failed = new Promise((_, reject) => socket.on('error', reject))
  const turns = []
  if (api === 'realtime') await Promise.race([failed, next(socket, 'session.created')])
  let previous
  for (const prompt of prompts) {
    const turn = { text: '', tools: [], events: 0 }
    const count = () => turn.events++
    const add = ({ delta }) => {
      turn.text += delta
    }
    socket.on('event', count)
    socket.on('response.output_text.delta', add)
    const over = next(socket, api === 'realtime' ? 'response.done' : 'response.completed')
    if (api === 'realtime') {
      const content = [{ type: 'input_text', text: prompt }]
      socket.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content } })
      socket.send({ type: 'response.create', response: { tools } })
    } else {
      const after = previous === undefined ? {} : { previous_response_id: previous }
      socket.send({ type: 'response.create', model: 'gpt-5', input: prompt, tools, ...after })
    }
    const { response } = await Promise.race([failed, over])
    previous = response.id
    for (const item of response.output) if (item.type === 'function_call') turn.tools.push(item.name)
    turns.push({ id: response.id, ...turn, usage: response.usage })
    socket.off('event', count)
    socket.off('response.output_text.delta', add)
  }
  socket.close({ code: 1000, reason: 'done' })
  return { turns }
})

function next(socket, type) {
  return new Promise((resolve) => socket.once(type, resolve))
}
