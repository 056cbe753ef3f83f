import fc from 'fast-check'
import t from 'tap'
import { BodyContent } from '../../policies/request-content.ts'
import { matchesText } from '../../policies/text-glob.ts'

const content = (body: unknown) =>
  new BodyContent(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)))
const KEY = `sk-proj-${'aB3xY9kQ'.repeat(6)}`

t.test('the model is the one at the top, and each where several stand there', async (t) => {
  t.strictSame([...content({ model: 'gpt-5', input: { model: 'other' } }).models()], ['gpt-5'])
  t.strictSame([...content('{"model":"a","Model":"b","\\u006dodel":"c"}').models()], ['a', 'b', 'c'])
  t.strictSame([...content([{ model: 'a' }]).models()], [])
  t.strictSame(
    [...content({ model: 'models/a ', models: ['b', 'c'] }).models()],
    ['a', 'b', 'c'],
    'fallbacks',
  )
  const batch = {
    requests: [
      { custom_id: '1', params: { model: 'a' } },
      { model: 'b', params: { x: { model: 'no' } } },
    ],
  }
  t.strictSame([...content(batch).models()], ['a', 'b'], 'a batch')
  t.strictSame([...content({ messages: ['model', 'x'], x: 'model' }).models()], [])
})

t.test('tools are found wherever a wire style puts them, offered and called', async (t) => {
  const cases: [unknown, string[]][] = [
    [
      { tools: [{ type: 'function', function: { name: 'a', parameters: { properties: { name: {} } } } }] },
      ['a'],
    ],
    [
      { tools: [{ type: 'function', name: 'a' }, { type: 'web_search_preview' }] },
      ['a', 'web_search_preview'],
    ],
    [
      {
        tools: [
          { name: 'a', input_schema: { type: 'object' } },
          { type: 'bash_20250124', name: 'bash' },
        ],
      },
      ['a', 'bash'],
    ],
    [{ tools: [{ functionDeclarations: [{ name: 'a' }] }, { googleSearch: {} }] }, ['a', 'googleSearch']],
    [{ tools: [{ function_declarations: [{ name: 'a' }] }] }, ['a']],
    [
      { tools: [{ google_search: { time_range_filter: {} } }, { codeExecution: {} }] },
      ['googleSearch', 'codeExecution'],
    ],
    [
      {
        toolConfig: {
          tools: [{ systemTool: { name: 'nova_grounding' } }, { cachePoint: { type: 'default' } }],
        },
      },
      ['nova_grounding'],
    ],
    [
      { tools: [{ type: 'mcp_toolset', configs: { x: {} }, cache_control: { type: 'ephemeral' } }] },
      ['mcp_toolset'],
    ],
    [{ tools: [{ name: 'a', parameters: { properties: { tools: { type: 'array' } } } }] }, ['a']],
    [{ toolConfig: { tools: [{ toolSpec: { name: 'a' } }] } }, ['a']],
    [{ functions: [{ name: 'a' }] }, ['a']],
    [{ messages: [{ tool_calls: [{ type: 'function', function: { name: 'a', arguments: '{}' } }] }] }, ['a']],
    [{ messages: [{ content: [{ type: 'tool_use', name: 'a', input: { name: 'no' } }] }] }, ['a']],
    [
      {
        input: [
          { type: 'function_call', name: 'a' },
          { type: 'message', name: 'no' },
        ],
      },
      ['a'],
    ],
    [{ contents: [{ parts: [{ functionCall: { name: 'a', args: {} } }] }] }, ['a']],
    [{ messages: [{ content: [{ toolUse: { name: 'a' } }] }] }, ['a']],
    [{ messages: [{ name: 'no', content: 'tools' }], name: 'no' }, []],
  ]
  for (const [body, tools] of cases)
    t.strictSame([...content(body).tools()].sort(), tools.sort(), JSON.stringify(body))
})

t.test('a key that stands twice hides no tool', async (t) => {
  for (const body of [
    '{"tools":[{"name":"shell"}],"tools":[]}',
    '{"tools":[],"tools":[{"name":"shell"}]}',
    '{"tools":[{"name":"shell","name":"read"}]}',
    '{"messages":[{"content":[{"type":"text","type":"tool_use","name":"shell"}]}],"messages":[]}',
    '{"tools":[{"function":{"name":"shell"},"function":{"name":"read"}}]}',
  ])
    t.ok(content(body).tools().has('shell'), body)
})

t.test('JSON in UTF-16 and UTF-32 is read, too; where it would have to be changed is said', async (t) => {
  const text = JSON.stringify({ model: 'gpt-5', tools: [{ name: 'shell' }], a: KEY })
  const le = Buffer.from(text, 'utf16le')
  const wide = Buffer.alloc(text.length * 4)
  for (let at = 0; at < text.length; at++) wide.writeUInt32BE(text.charCodeAt(at), at * 4)
  const mark = Buffer.from('\ufeff', 'utf16le')
  for (const bytes of [
    ...[le, Buffer.concat([mark, le]), Buffer.from(le).swap16(), Buffer.concat([mark, le]).swap16()],
    ...[wide, Buffer.from(wide).swap32()],
  ]) {
    const read = new BodyContent(bytes)
    t.strictSame([[...read.models()], [...read.tools()]], [['gpt-5'], ['shell']])
    t.strictSame(read.finds([], ['secrets']), ['openai-key'])
    t.ok(read.isWide)
  }
  const frame = new BodyContent(Buffer.concat([Buffer.of(0, 0, 0, 0, KEY.length), Buffer.from(KEY)]))
  t.strictSame(frame.finds([], ['secrets']), ['openai-key'], 'a gRPC frame begins with zeros, too')
})

t.test('what is found in strings is replaced there, and every other byte stays', async (t) => {
  const body = `{ "a" :\t"use ${KEY} now",\n "b": ["\\u0073${KEY.slice(1)}", 1.50e0, "plain \\u00e9"] }`
  const { text, count } = content(body).redacted([], ['secrets'])
  t.equal(
    text,
    '{ "a" :\t"use [redacted:openai-key] now",\n "b": ["[redacted:openai-key]", 1.50e0, "plain \\u00e9"] }',
  )
  t.equal(count, 2)
  t.strictSame(content(body).finds([], ['secrets']), ['openai-key'])
  t.strictSame(content({ a: 'nothing' }).redacted([], ['secrets']), {
    text: '{"a":"nothing"}',
    count: 0,
    found: [],
  })
})

t.test('a key’s name tells what its value is, and only the value goes', async (t) => {
  const hex = `0x${'0a9f'.repeat(16)}`
  const { text } = content({ privateKey: hex, hash: hex }).redacted([], ['secrets'])
  t.equal(text, JSON.stringify({ privateKey: '[redacted:private-key]', hash: hex }))
})

t.test('a redacted JSON text is JSON with the same values but for the matches', async (_t) => {
  const leaf = fc.oneof(fc.string({ unit: 'binary' }), fc.constant(`x ${KEY} y`), fc.integer(), fc.boolean())
  const value = fc.object({ values: [leaf], withNullPrototype: false, maxDepth: 4 })
  fc.assert(
    fc.property(value, (made) => {
      const text = JSON.stringify(made)
      const redacted = content(text).redacted([], ['secrets']).text
      const wanted = text.replaceAll(KEY, '[redacted:openai-key]')
      return redacted === wanted && content(redacted).finds([], ['secrets']).length === 0
    }),
    { numRuns: 1000 },
  )
})

t.test('what is no JSON, too deep or too much says so, and never throws', async (t) => {
  t.equal(content('').notJson, undefined)
  t.ok(content('').empty)
  t.equal(content('{"a":').notJson, 'not JSON')
  t.equal(content('--boundary').notJson, 'not JSON')
  t.match(content('['.repeat(600) + ']'.repeat(600)).notJson, /deeper/)
  t.match(content(`[${'[],'.repeat(600_000)}0]`).notJson, /values/)
  t.strictSame(content(`key=${KEY}`).finds([], ['secrets']), ['openai-key'], 'text is searched all the same')
  const lenient = `{"a": NaN, "b": "\\u0073${KEY.slice(1)}"}`
  t.strictSame(content(lenient).finds([], ['secrets']), ['openai-key'], 'with its escapes undone')
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, quoted) => {
      const text = Buffer.from(bytes).toString('latin1')
      const one = content(quoted ? `{"a":"${text}"}` : text)
      one.models()
      one.tools()
      one.redacted([], ['secrets', 'email'])
      return true
    }),
    { numRuns: 3000 },
  )
})

t.test('a pattern’s stars stand for any characters', async (t) => {
  for (const [pattern, text, matches] of [
    ['*', '', true],
    ['gpt-5', 'gpt-5', true],
    ['gpt-5', 'gpt-5o', false],
    ['gpt-5*', 'gpt-5', true],
    ['*mini', 'gpt-5-mini', true],
    ['a*a', 'a', false],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'a-c-b', false],
    ['**', 'x', true],
  ] as const) {
    t.equal(matchesText(pattern, text), matches, `${pattern} ${text}`)
  }
  fc.assert(
    fc.property(fc.stringMatching(/^[ab*]{0,8}$/), fc.stringMatching(/^[ab]{0,8}$/), (pattern, text) => {
      const expected = new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(text)
      return matchesText(pattern, text) === expected
    }),
    { numRuns: 5000 },
  )
})
