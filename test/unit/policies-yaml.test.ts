import t from 'tap'
import { z } from 'zod'
import { PolicyError } from '../../policies/policy-error.ts'
import { parseYaml } from '../../policies/yaml-document.ts'

const Schema = z.strictObject({
  name: z.string().default('none'),
  count: z.int().min(1).max(9).default(1),
  mode: z.enum(['observe', 'standard']).default('standard'),
  nested: z
    .strictObject({ hosts: z.array(z.string()).default([]), limitMs: z.number().default(1) })
    .prefault({}),
  list: z.array(z.strictObject({ key: z.string(), on: z.boolean().default(true) })).default([]),
  any: z.unknown().optional(),
})

function failure(text: string): PolicyError {
  try {
    parseYaml('p.yaml', text, Schema)
  } catch (error) {
    if (error instanceof PolicyError) return error
    throw error
  }
  throw new Error(`this was taken: ${text.slice(0, 80)}`)
}

t.test('a good document comes out with its defaults', async (t) => {
  t.match(parseYaml('p.yaml', '# why\nname: a\nnested:\n  hosts: [x, y]\n', Schema), {
    name: 'a',
    count: 1,
    nested: { hosts: ['x', 'y'], limitMs: 1 },
  })
})

t.test('an unknown key is named at its own place, with the nearest known one', async (t) => {
  const error = failure('name: a\nnested:\n  hots: [x]\n')
  t.equal(error.code, 'INVALID_DOCUMENT')
  t.equal(
    error.message,
    'p.yaml:3:3: unknown key `hots`; did you mean `hosts`?\n  3 |   hots: [x]\n    |   ^^^^',
  )
  t.match(error.remedy, /p\.yaml/)
})

t.test('an unknown key that resembles none lists the known ones', async (t) => {
  t.match(failure('nested: {zzzzzz: 1}\n').message, 'unknown key `zzzzzz`; known here: `hosts`, `limitMs`')
})

t.test('unknown keys are refused at every level', async (t) => {
  t.match(failure('nmae: a\n').problems, [{ line: 1, column: 1 }])
  t.match(failure('list:\n  - key: a\n  - key: b\n    no: true\n').problems, [{ line: 4, column: 5 }])
})

t.test('all problems are listed at once, in the order of the file', async (t) => {
  const error = failure('bogus: 1\ncount: 70\nmode: standrad\nlist:\n  - on: maybe\nname: [a]\n')
  t.strictSame(
    error.problems.map(({ line, column }) => [line, column]),
    [
      [1, 1],
      [2, 8],
      [3, 7],
      [5, 5],
      [5, 9],
      [6, 1],
    ],
  )
  t.match(error.message, '`count` must be at most 9')
  t.match(
    error.message,
    '`mode` must be one of `observe`, `standard`, not `standrad`; did you mean `standard`?',
  )
  t.match(error.message, 'missing key `key`: it must be text')
  t.match(error.message, '`on` must be true or false, not text')
  t.match(error.message, '`name` must be text, not a list')
})

t.test('a long list of problems is cut, and says so', async (t) => {
  const error = failure(`nested:\n  hosts:\n${'    - 1\n'.repeat(1000)}`)
  t.equal(error.problems.length, 20)
  t.match(error.message, /… and 980 more$/)
})

t.test('YAML that is broken or has more than is wanted is refused with its place', async (t) => {
  const cases: [what: string, text: string, line: number, column: number, message: RegExp][] = [
    ['a duplicate key', 'name: a\nname: b\n', 2, 1, /key `name` stands here twice/],
    ['a duplicate key in a flow mapping', 'nested: {limitMs: 1, limitMs: 2}', 1, 22, /twice/],
    ['a tab', 'nested:\n\thosts: []\n', 2, 1, /tab/],
    ['a second document', 'name: a\n---\nname: b\n', 2, 1, /second document/],
    ['an open bracket', 'nested: {hosts: [a\n', 2, 1, /./],
    ['a tag', 'name: !!js/function x\n', 1, 7, /tag/i],
    ['a binary tag', 'name: !!binary aGk=\n', 1, 7, /tag/i],
    ['a key that is a list', '[a]: 1\n', 1, 1, /key must be text/],
    ['a key that is a number', '1: a\n', 1, 1, /unknown key `1`/],
    ['an unknown alias', 'name: *nobody\n', 1, 7, /nobody/],
    ['an alias into itself', 'any: &a {b: [*a]}\n', 1, 14, /within `&a` itself/],
    ['a merge key', 'nested: &n {limitMs: 1}\nlist:\n  - <<: *n\n    key: a\n', 3, 5, /unknown key `<<`/],
    ['a prototype', '__proto__: {name: a}\n', 1, 1, /unknown key `__proto__`/],
    ['a nested prototype', 'any: {a: {__proto__: 1}}\n', 1, 11, /unknown key `__proto__`/],
  ]
  for (const [what, text, line, column, message] of cases) {
    const error = failure(text)
    t.match(error.problems[0], { line, column, message }, what)
    t.match(error.message, `p.yaml:${line}:${column}: `, what)
  }
})

t.test('an empty document is refused, not taken for the defaults', async (t) => {
  for (const text of ['', '\n\n', '# only a comment\n', '---\n', 'null\n', '~']) {
    t.equal(failure(text).code, 'EMPTY_DOCUMENT', JSON.stringify(text))
  }
})

t.test('a document that is no mapping is refused', async (t) => {
  t.match(failure('[a, b]').message, 'p.yaml:1:1: this must be a mapping, not a list')
  t.match(failure('just words').message, 'this must be a mapping, not text')
})

t.test('values by alias are taken, and a wrong one is shown where it was written', async (t) => {
  const text = 'any: &hosts [a, b]\nnested: {hosts: *hosts}\n'
  t.strictSame(parseYaml('p.yaml', text, Schema).nested.hosts, ['a', 'b'])
  t.match(failure('any: &h [a, 2]\nnested: {hosts: *h}\n').problems, [{ line: 1, column: 13 }])
})

t.test('alias bombs are refused quickly', { timeout: 5000 }, async (t) => {
  const rows = Array.from({ length: 9 }, (_, i) => {
    const before = i === 0 ? '"x"' : `*a${i - 1}`
    return `  - &a${i} [${Array(5).fill(before).join(', ')}]`
  })
  const bomb = failure(`any:\n${rows.join('\n')}\n`)
  t.equal(bomb.code, 'BAD_YAML')
  t.match(bomb.message, /alias/)
  const many = failure(`any:\n  - &a x\n${'  - *a\n'.repeat(51)}`)
  t.match(many.problems, [{ line: 53, message: /more than 50 aliases/ }])
})

t.test('hostile shapes give a typed error in bounded time and output', { timeout: 20_000 }, async (t) => {
  const shapes: Record<string, string> = {
    'deep brackets': '['.repeat(100_000),
    'deep dashes': '- '.repeat(50_000),
    'deep questions': '? '.repeat(50_000),
    'deep mappings': Array.from({ length: 400 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'),
    'deep flow, closed': `any: ${'['.repeat(300)}${']'.repeat(300)}`,
    'many tags': '!!foo '.repeat(20_000),
    'many errors': 'a: ]\n'.repeat(20_000),
    'many keys': Array.from({ length: 20_000 }, (_, i) => `k${i}: 1`).join('\n'),
    'many duplicates': 'k: 1\n'.repeat(40_000),
    'a long line': `nam: ${'x'.repeat(200_000)}`,
    'control characters': 'nam\u0000e: \u0007',
    'lone surrogates': 'nam\ud800: 1',
  }
  for (const [what, text] of Object.entries(shapes)) {
    const error = failure(text)
    t.ok(error.problems.length >= 1 && error.problems.length <= 20, what)
    t.ok(error.message.length < 20_000, `${what}: ${error.message.length} characters`)
  }
})

t.test('nothing in a file can steer the terminal that shows the error', async (t) => {
  const { message } = failure('nam: "\u001b[2J\u202e\u009b31m"\n\u001b]0;x\u0007: 1\n')
  t.notMatch(message, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/)
})

t.test('a text beyond the bound is refused before it is parsed', async (t) => {
  t.equal(failure(`# ${'x'.repeat(300_000)}\nname: a\n`).code, 'FILE_TOO_LARGE')
})
