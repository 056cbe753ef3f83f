import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { type Catalogue, loadCatalogue, matchHost, permittedDomains } from '../../policies/catalogue.ts'
import { PolicyError } from '../../policies/policy-error.ts'
import { CATALOGUE_FILE, shippedDirectory } from '../../policies/shipped.ts'
import { cpuMsOf } from './cpu-time.ts'

const directory = t.testdir()
const file = join(directory, 'providers.yaml')

const HEAD = 'apiVersion: agent-anchor/v1\nkind: Catalogue\nproviders:\n'
const provider = (id: string, ...hosts: string[]) =>
  `  ${id}:\n    telemetryName: ${id}\n    style: openai-chat\n    hosts:\n${hosts.map((host) => `      - ${host}\n`).join('')}`

function load(...providers: string[]): Catalogue {
  writeFileSync(file, HEAD + providers.join(''))
  return loadCatalogue(file)
}

function failure(...providers: string[]): PolicyError {
  try {
    load(...providers)
  } catch (error) {
    if (error instanceof PolicyError) return error
    throw error
  }
  throw new Error('this was taken')
}

t.test('hosts are given as text or with their mark', async (t) => {
  const { providers } = load(
    provider('a', 'api.a.ai', '{ host: eu.a.ai, unconfirmed: true }', '{ host: us.a.ai }'),
  )
  t.strictSame(providers, [
    {
      id: 'a',
      telemetryName: 'a',
      style: 'openai-chat',
      keepBodies: true,
      hosts: ['api.a.ai', 'eu.a.ai', 'us.a.ai'],
      unconfirmed: ['eu.a.ai'],
    },
  ])
})

t.test('patterns that take in more than a provider are refused', async (t) => {
  for (const host of [
    "'*'",
    "'**'",
    "'*.com'",
    "'**.com'",
    "'*.co.uk'",
    "'**.com.cn'",
    "'api.*'",
    "'*.*.com'",
    "'*.x*.ai'",
  ]) {
    const error = failure(provider('a', host))
    t.match(error.message, /providers\.yaml:8:9: .*too broad/, host)
  }
  t.ok(load(provider('a', "'*.openai.com'", 'x.co.uk')))
})

t.test('what is no host name or pattern is refused', async (t) => {
  const bad = [
    'localhost',
    'co.uk',
    'Api.a.ai',
    'a..ai',
    '.a.ai',
    'a.ai.',
    'a b.ai',
    '-a.ai',
    'a_.é.ai',
    "'a*b*.a.ai'",
    "'**.**.a.ai'",
    "'x**.a.ai'",
    'https://a.ai',
    'a.ai:443',
    `${'a'.repeat(64)}.ai`,
    `${'a.'.repeat(130)}ai`,
  ]
  for (const host of bad) t.match(failure(provider('a', host)).problems, [{ line: 8, column: 9 }], host)
})

t.test('a host of two providers is refused with both names', async (t) => {
  const error = failure(provider('one', 'api.a.ai'), provider('two', 'b.ai', '{ host: api.a.ai }'))
  t.match(error.message, 'providers.yaml:14:9: `api.a.ai` belongs to both `one` and `two`: keep one')
  t.match(failure(provider('one', 'a.ai', 'a.ai')).message, '`a.ai` stands twice under `one`')
})

t.test('bad entries are refused in the words of the entry', async (t) => {
  t.match(failure(provider('a', '7')).message, 'entry 1 of `hosts` must be text or a mapping')
  t.match(
    failure(provider('a', '{ hots: a.ai, host: b.ai }')).message,
    'unknown key `hots`; did you mean `host`?',
  )
  t.match(failure(provider('A-B', 'a.ai')).message, 'a provider id is of lower-case letters')
  t.match(
    failure(provider('a', 'a.ai').replace('openai-chat', 'openai-caht')).message,
    'did you mean `openai-chat`?',
  )
  t.match(failure(`${provider('a', 'a.ai')}    paths: [v1]\n`).message, 'a path begins with `/`')
})

t.test('a missing catalogue is an error with a remedy', async (t) => {
  t.throws(() => loadCatalogue(join(directory, 'none.yaml')), { code: 'FILE_UNREADABLE', remedy: /Restore/ })
})

t.test('the narrowest of several patterns owns a name', async (t) => {
  const catalogue = load(
    provider('wide', "'**.a.ai'"),
    provider('middle', "'*.b.a.ai'"),
    provider('narrow', "'x-*.b.a.ai'"),
    provider('exact', 'x-1.b.a.ai'),
  )
  t.equal(matchHost(catalogue, 'x-1.b.a.ai')?.id, 'exact')
  t.equal(matchHost(catalogue, 'x-2.b.a.ai')?.id, 'narrow')
  t.equal(matchHost(catalogue, 'y.b.a.ai')?.id, 'middle')
  t.equal(matchHost(catalogue, 'y.z.b.a.ai')?.id, 'wide')
  t.equal(matchHost(catalogue, 'a.ai'), undefined)
})

t.test('wildcards stand for what they say', async (t) => {
  const catalogue = load(
    provider('a', "'*.one.ai'", "'p-*-s.two.ai'", "'**.deep.ai'", "'n#.dig.ai'", "'l.**.r.mid.ai'"),
  )
  const yes = [
    'x.one.ai',
    'p-x-s.two.ai',
    'x.deep.ai',
    'x.y.z.deep.ai',
    'n1.dig.ai',
    'n42.dig.ai',
    'l.x.r.mid.ai',
    'l.x.y.r.mid.ai',
  ]
  const no = [
    'one.ai',
    'x.y.one.ai',
    'p--s.two.ai',
    'p-s.two.ai',
    'q-x-s.two.ai',
    'deep.ai',
    'xdeep.ai',
    'n.dig.ai',
    'nx.dig.ai',
    'n1x.dig.ai',
    'l.r.mid.ai',
    'x.l.x.r.mid.ai',
  ]
  for (const name of yes) t.ok(matchHost(catalogue, name), name)
  for (const name of no) t.notOk(matchHost(catalogue, name), name)
})

t.test('names match in any case and with one trailing dot', async (t) => {
  const catalogue = load(provider('a', 'api.a.ai', "'*.b.ai'"))
  for (const name of ['API.A.AI', 'api.a.ai.', 'X.B.ai.']) t.ok(matchHost(catalogue, name), name)
  for (const name of [
    'api.a.ai..',
    '.api.a.ai',
    'api.a.ai:443',
    'api.a.ai\0',
    'api.a.ai ',
    'api。a.ai',
    '',
  ]) {
    t.notOk(matchHost(catalogue, name), JSON.stringify(name))
  }
})

t.test('names beyond 253 characters or 63 a label are no names', async (t) => {
  const catalogue = load(provider('a', "'**.a.ai'"))
  const longest = `${'x.'.repeat(124)}a.ai`
  t.equal(`x${longest}`.length, 253)
  t.ok(matchHost(catalogue, `x${longest}.`))
  t.notOk(matchHost(catalogue, `xx${longest}`))
  t.ok(matchHost(catalogue, `${'x'.repeat(63)}.a.ai`))
  t.notOk(matchHost(catalogue, `${'x'.repeat(64)}.a.ai`))
})

t.test('no name, however hostile, throws or takes long', { timeout: 20_000 }, async (t) => {
  const catalogue = loadCatalogue(join(shippedDirectory, CATALOGUE_FILE))
  matchHost(catalogue, 'warm.up')
  const hostile = [
    'a'.repeat(1 << 20),
    '.'.repeat(1 << 20),
    `${'a.'.repeat(126)}a`,
    `${'api.'.repeat(58)}elevenlabs.io`,
    `bedrock-runtime.${'a-'.repeat(31)}.amazonaws.com`,
    `${'-'.repeat(63)}.openai.azure.com`,
    `${'1'.repeat(60)}.${'api5.'.repeat(30)}cursor.sh`,
  ]
  const spent = cpuMsOf(() => {
    for (let round = 0; round < 1000; round++) for (const name of hostile) matchHost(catalogue, name)
  })
  const each = spent / (1000 * hostile.length)
  t.ok(each < 1, `${each} ms a name`)
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (name) => {
      matchHost(catalogue, name)
    }),
    { numRuns: 5000 },
  )
})

t.test('a catalogue is plain, frozen data that still matches in another process', async (t) => {
  const catalogue = load(provider('a', 'api.a.ai'))
  matchHost(catalogue, 'api.a.ai')
  const copy = structuredClone(catalogue)
  t.strictSame(copy, JSON.parse(JSON.stringify(catalogue)))
  t.equal(matchHost(copy, 'api.a.ai')?.id, 'a')
  t.throws(() => Reflect.set(catalogue.providers, 0, undefined) || fail())
  t.ok(Object.isFrozen(catalogue.providers[0]?.hosts))
})

function fail(): never {
  throw new TypeError('frozen')
}

t.test('domains to sign for are the fewest that hold all names', async (t) => {
  const catalogue = load(
    provider('a', 'api.b.ai', "'x-*.b.ai'", 'one.c.ai', 'two.c.ai', "'**.q.c.ai'", 'z.q.c.ai'),
  )
  t.strictSame(permittedDomains(catalogue), ['b.ai', 'one.c.ai', 'q.c.ai', 'two.c.ai'])
})
