import fc from 'fast-check'
import t from 'tap'
import { callShape, unlistedProvider } from '../../policies/call-shape.ts'
import { governsTarget } from '../../policies/governed-path.ts'

const CALLS: [method: string, target: string, style: string][] = [
  ['POST', '/v1/chat/completions', 'openai-chat'],
  ['POST', '/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21', 'openai-chat'],
  ['POST', '/api/v1/completions', 'openai-chat'],
  ['POST', '/completion', 'openai-chat'],
  ['POST', '/v1/embeddings', 'openai-chat'],
  ['POST', '/v1/responses', 'openai-responses'],
  ['GET', '/v1/responses', 'openai-responses'],
  ['POST', '/backend-api/codex/responses', 'openai-responses'],
  ['GET', '/v1/realtime?model=gpt-realtime', 'openai-realtime'],
  ['POST', '/v1/messages', 'anthropic-messages'],
  ['POST', '/anthropic/v1/messages/count_tokens?beta=true', 'anthropic-messages'],
  ['POST', '/v1beta/models/gemini-2.5-pro:generateContent', 'gemini'],
  ['POST', '/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse', 'gemini'],
  ['POST', '/v1/projects/p/locations/l/publishers/google/models/m:generateContent', 'gemini'],
  ['POST', '/v1/projects/p/locations/l/publishers/anthropic/models/m:streamRawPredict', 'anthropic-messages'],
  ['POST', '/v1internal:generateContent', 'gemini'],
  ['GET', '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent', 'gemini-live'],
  ['POST', '/model/anthropic.claude-v2/converse-stream', 'bedrock-converse'],
  ['POST', '/model/anthropic.claude-v2%3A1/invoke', 'bedrock-invoke'],
  ['POST', '/v2/chat', 'cohere-v2'],
  ['POST', '/api/chat', 'ollama'],
  ['POST', '/api/generate', 'ollama'],
  ['POST', '/api/v1/generate', 'opaque'],
]

t.test('calls are told by method and path, in the style of the path', async (t) => {
  for (const [method, target, style] of CALLS)
    t.equal(callShape(method, target), style, `${method} ${target}`)
})

t.test('a path in disguise keeps its shape', async (t) => {
  for (const target of [
    '/V1/Chat/Completions',
    '/v1/chat/completions/',
    '//v1//chat//completions',
    '/v1/./chat/x/../completions',
    '/v1/%63hat/completions',
    '/v1%2fchat%2Fcompletions',
    '/v1/chat\\completions',
    '/%zz/%ff/../../v1/chat/completions',
    'http://llm.example/v1/chat/completions#x',
  ]) {
    t.equal(callShape('POST', target), 'openai-chat', target)
  }
  t.equal(callShape('post', '/v1/messages'), 'anthropic-messages')
})

t.test('other requests have no shape', async (t) => {
  for (const [method, target] of [
    ['GET', '/v1/chat/completions'],
    ['GET', '/v1/models'],
    ['POST', '/'],
    ['POST', ''],
    ['POST', '*'],
    ['POST', '/?path=/v1/chat/completions'],
    ['POST', '/#/v1/messages'],
    ['POST', '/v1/messages/inbox'],
    ['POST', '/api/chat/rooms'],
    ['POST', '/model/converse'],
    ['POST', '/:generateContent'],
    ['OPTIONS', '/v1/chat/completions'],
    ['CONNECT', 'api.openai.com:443'],
    ['', ''],
  ] as const) {
    t.equal(callShape(method, target), undefined, `${method} ${target}`)
  }
})

t.test('the provider of unlisted hosts is governed for every shape, and for nothing else', async (t) => {
  const provider = unlistedProvider('openai-chat')
  t.match(provider, { id: 'unlisted', style: 'openai-chat', hosts: [] })
  t.equal(unlistedProvider('openai-chat'), provider)
  for (const [, target] of CALLS) t.ok(governsTarget(provider, target), target)
  for (const target of ['/', '/index.html', '/v1/models', '/favicon.ico']) {
    t.notOk(governsTarget(provider, target), target)
  }
})

t.test('what has a shape is governed on its connection: no target gets between the two', async (t) => {
  const provider = unlistedProvider('opaque')
  const part = fc.constantFrom(
    'v1',
    'V1',
    'chat',
    '%63hat',
    'completions',
    '..',
    '.',
    '',
    '%2f',
    '%zz',
    '?',
    '\\',
  )
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), fc.constantFrom('POST', 'GET'), (parts, method) => {
        const target = `/${parts.join('/')}`
        return callShape(method, target) === undefined || governsTarget(provider, target)
      }),
      { numRuns: 3000 },
    ),
  )
})

t.test('hostile targets cost little', { timeout: 5000 }, async (t) => {
  for (const target of [
    '/a'.repeat(32_000),
    `/${'%2f'.repeat(20_000)}`,
    '/..'.repeat(20_000),
    '%'.repeat(60_000),
  ]) {
    for (let i = 0; i < 20; i++) t.equal(callShape('POST', target), undefined)
  }
})
