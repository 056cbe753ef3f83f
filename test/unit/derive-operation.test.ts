/** What a request asks for, however its path is spelled. */
import t from 'tap'
import { askedByHead } from '../../daemon/recorder/derive/asked-by-head.ts'
import { operationOf } from '../../daemon/recorder/derive/operation.ts'

t.test('a path that is spelled otherwise asks for the same', async (t) => {
  for (const path of [
    ...['/v1/chat/completions', '/v1/chat/completions/', '/v1/chat//completions', '/v1//chat/./completions'],
    ...[
      '/v1/%63hat/completions',
      '/v1/chat%2Fcompletions',
      '/v1/x/%2e%2e/chat/completions',
      '/V1/Chat/Completions',
    ],
    ...[
      '/v1\\chat\\completions',
      '/v1/chat/completions?a=/embeddings',
      `/${'x/'.repeat(5000)}v1/chat/completions`,
    ],
    'https://api.openai.com/v1/chat/completions#x',
  ])
    t.equal(operationOf('POST', path, undefined).name, 'chat', path.slice(-60))
  const model = (path: string) => operationOf('POST', path, undefined).model
  t.equal(model('/openai/deployments/GPT-5/Chat/completions'), 'GPT-5')
  t.equal(model('/v1beta/models/gemini-3%3AgenerateContent'), 'gemini-3')
  t.equal(model('/v1beta/models/gemini-%33:streamGenerateContent/'), 'gemini-3')
  const arn = 'arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude'
  t.equal(model(`/model/${encodeURIComponent(arn)}/converse`), arn)
  t.equal(model('/model/a%zz/invoke'), 'a%zz', 'escapes that are none stay')
  t.strictSame(operationOf('GET', '/v1/models', undefined), {})
})

t.test('where servers may read it in two ways, each counts', async (t) => {
  const asked = askedByHead('POST', '/x%2F..%2Fv1%2Fchat/completions', undefined, false)
  t.strictSame([...asked.operations].sort(), ['chat', 'text_completion'])
})

t.test(
  'a WebSocket’s models are those of its query, each that stands there, or of a message before',
  async (t) => {
    const long = `/v1/realtime?a=${'x'.repeat(5000)}&model=a&%6dodel=b`
    t.strictSame(askedByHead('GET', long, undefined, true), { operations: ['chat'], pathModels: ['a', 'b'] })
    t.strictSame(askedByHead('GET', '/v1/Realtime/?model=a', undefined, true, 'c').pathModels, ['c'])
    t.strictSame(askedByHead('GET', long, undefined, false), { operations: [], pathModels: [] })
  },
)
