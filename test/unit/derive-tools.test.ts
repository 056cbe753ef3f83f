import t from 'tap'
import { derive } from '../../daemon/recorder/derive/derive.ts'
import { derived, json, requestHead, responseHead, sse, TIME } from './derive-fixture.ts'

const SSE = responseHead('text/event-stream')
const openai = { provider: 'openai', line: 'POST /v1/chat/completions' }
const anthropic = { provider: 'anthropic', line: 'POST /v1/messages' }
const responses = { provider: 'openai', line: 'POST /v1/responses' }

t.test('openai chat: tools offered and called, in a body and in deltas', async (t) => {
  const request = {
    model: 'gpt-4o',
    max_completion_tokens: 100,
    n: 2,
    seed: 5,
    frequency_penalty: 0.5,
    tools: [
      { type: 'function', function: { name: 'weather' } },
      { type: 'custom', custom: { name: 'code' } },
      { type: 'function' },
    ],
  }
  const call = (id: string, name: string) => ({ id, type: 'function', function: { name, arguments: '{}' } })
  const message = { tool_calls: [call('call_1', 'weather'), call('call_2', 'weather')] }
  const expected = {
    'gen_ai.request.max_tokens': 100,
    'gen_ai.request.choice.count': 2,
    'gen_ai.request.seed': 5,
    'gen_ai.request.frequency_penalty': 0.5,
    tools: [
      { name: 'weather', id: 'call_1' },
      { name: 'weather', id: 'call_2' },
    ],
    toolCalls: 2,
    toolsOffered: { count: 3, names: ['weather', 'code'] },
  }
  const body = json({ choices: [{ index: 0, message, finish_reason: 'tool_calls' }] })
  t.match(derived({ ...openai, request, body }), expected)
  const delta = (calls: object[]) => ({ choices: [{ index: 0, delta: { tool_calls: calls } }] })
  const stream = sse(
    delta([{ index: 0, ...call('call_1', 'weather') }]),
    delta([{ index: 0, function: { arguments: '{"a"' } }]),
    delta([{ index: 1, ...call('call_2', 'weather') }]),
    // Some repeat the name with every delta.
    delta([{ index: 1, ...call('call_2', 'weather') }]),
  )
  t.match(derived({ ...openai, request, head: SSE, body: stream }), expected)
})

t.test("anthropic: the agent's tools and the provider's own", async (t) => {
  const request = { model: 'claude-sonnet-5', max_tokens: 5, tools: [{ name: 'Bash' }, { name: 'Edit' }] }
  const block = (type: string, name: string, id: string) => ({ type, name, id, input: { secret: 'x' } })
  const content = [
    { type: 'text', text: 'Hm' },
    block('tool_use', 'Bash', 'toolu_1'),
    block('server_tool_use', 'web_search', 'srvtoolu_1'),
  ]
  const expected = {
    'gen_ai.request.max_tokens': 5,
    tools: [
      { name: 'Bash', id: 'toolu_1' },
      { name: 'web_search', id: 'srvtoolu_1' },
    ],
    toolCalls: 2,
    toolsOffered: { count: 2, names: ['Bash', 'Edit'] },
  }
  const whole = derived({ ...anthropic, request, body: json({ content }) })
  t.match(whole, expected)
  t.notMatch(JSON.stringify(whole), 'secret', 'arguments are content')
  const events = content.map((content_block, index) => ({
    type: 'content_block_start',
    index,
    content_block,
  }))
  t.match(derived({ ...anthropic, request, head: SSE, body: sse(...events) }), expected)
})

t.test('openai responses: conversation and tools', async (t) => {
  const request = { model: 'gpt-5', conversation: 'conv_1', tools: [{ type: 'function', name: 'f' }] }
  const output = [
    { type: 'message', id: 'msg_1' },
    { type: 'function_call', id: 'fc_1', call_id: 'call_1', name: 'f' },
    { type: 'web_search_call', id: 'ws_1' },
  ]
  const body = json({ id: 'resp_1', conversation: { id: 'conv_1' }, output })
  t.match(derived({ ...responses, request, body }), {
    'gen_ai.conversation.id': 'conv_1',
    tools: [
      { name: 'f', id: 'call_1' },
      { name: 'web_search', id: 'ws_1' },
    ],
    toolCalls: 2,
    toolsOffered: { count: 1, names: ['f'] },
  })
  const chained = derived({ ...responses, request: { previous_response_id: 'resp_0' }, body: json({}) })
  t.equal(chained.previousResponse, 'resp_0')
  t.notOk('gen_ai.conversation.id' in chained, 'a chain of responses is no conversation')
})

t.test('gemini: the provider’s own tools', async (t) => {
  const parts = [
    { executableCode: { language: 'PYTHON', code: '1', id: 'x1' } },
    { codeExecutionResult: { outcome: 'OUTCOME_OK' } },
    { toolCall: { toolType: 'GOOGLE_SEARCH_WEB', id: 't1' } },
    { functionCall: { name: 'f', id: 'c1', args: {} } },
  ]
  const line = 'POST /v1beta/models/gemini-3-pro:generateContent'
  const body = json({ candidates: [{ content: { parts } }] })
  t.strictSame(derived({ provider: 'gemini', style: 'gemini', line, body }).tools, [
    { name: 'codeExecution', id: 'x1' },
    { name: 'GOOGLE_SEARCH_WEB', id: 't1' },
    { name: 'f', id: 'c1' },
  ])
})

t.test('the session that a client names, where the wire has no conversation', async (t) => {
  const of = (fields: string[], request: object, line = 'POST /v1/messages') =>
    derive({
      ...{ provider: 'p', time: TIME, requestHead: requestHead(line, ...fields) },
      requestBody: json(request),
    })['gen_ai.conversation.id']
  t.equal(of(['X-Claude-Code-Session-Id: s1'], {}), 's1')
  t.equal(of(['session_id: s2', 'conversation_id: c2'], {}, 'POST /backend-api/codex/responses'), 'c2')
  t.equal(of(['session-id: s3'], { conversation: 'conv_3' }, 'POST /v1/responses'), 'conv_3')
  t.equal(of([], { request: { session_id: 's4' } }, 'POST /v1internal:generateContent'), 's4')
  t.equal(of(['x-session: s5'], {}), undefined)
})

t.test('of many tools the first are named and all are counted', async (t) => {
  const tools = Array.from({ length: 300 }, (_, i) => ({ name: `${i}-${'x'.repeat(300)}` }))
  const content = tools.map(({ name }, i) => ({ type: 'tool_use', name, id: `${i}-${'y'.repeat(300)}` }))
  const found = derived({ ...anthropic, request: { tools }, body: json({ content }) })
  t.equal(found.toolCalls, 300)
  t.equal(found.tools?.length, 16)
  t.equal(found.toolsOffered?.count, 300)
  t.equal(found.toolsOffered?.names.length, 16)
  for (const { name, id } of found.tools ?? []) {
    t.ok(name.length <= 128 && (id?.length ?? 0) <= 128 && name.endsWith('…'))
  }
})
