import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { jsonSchemas } from '../../policies/json-schema.ts'
import { loadPolicy } from '../../policies/policy.ts'
import { CATALOGUE_FILE, shippedDirectory } from '../../policies/shipped.ts'

const shipped = (name: string) => readFileSync(join(shippedDirectory, name), 'utf8')
const standard = loadPolicy({ dir: shippedDirectory, name: 'standard' })

t.test('standard guards providers on the web ports', async (t) => {
  t.match(standard.policy, {
    name: 'standard',
    enforcement: { scope: 'providers', ports: [80, 443], logGroup: 71 },
    proxy: { unknownName: 'splice' },
    hash: /^[0-9a-f]{64}$/,
  })
})

t.test('files that the directory lacks are the shipped ones', async (t) => {
  t.strictSame(loadPolicy({ dir: join(t.testdir(), 'none'), name: 'standard' }), standard)
})

t.test("the administrator's files take the place of the shipped ones, each by itself", async (t) => {
  const dir = t.testdir()
  writeFileSync(join(dir, 'standard.yaml'), shipped('standard.yaml').replace('[80, 443]', '[443]'))
  const own = loadPolicy({ dir, name: 'standard' })
  t.strictSame(own.policy.enforcement.ports, [443])
  t.strictSame(own.catalogue, standard.catalogue)
  t.not(own.policy.hash, standard.policy.hash)
})

t.test('a link that leads nowhere is an error, not a reason to fall back', async (t) => {
  const dir = t.testdir()
  symlinkSync('gone', join(dir, 'standard.yaml'))
  t.throws(() => loadPolicy({ dir, name: 'standard' }), { code: 'UNKNOWN_POLICY' })
  const other = t.testdir()
  symlinkSync('gone', join(other, CATALOGUE_FILE))
  t.throws(() => loadPolicy({ dir: other, name: 'standard' }), { code: 'FILE_UNREADABLE' })
})

t.test('a directory that cannot be looked into is an error, not one without files', async (t) => {
  const dir = t.testdir()
  symlinkSync('loop', join(dir, 'loop'))
  t.throws(() => loadPolicy({ dir: join(dir, 'loop'), name: 'standard' }), { code: 'FILE_UNREADABLE' })
})

t.test('the hash covers policy and catalogue, and neither comments nor layout', async (t) => {
  const dir = t.testdir()
  writeFileSync(join(dir, 'standard.yaml'), shipped('standard.yaml').replace(/^ *#.*\n/gm, ''))
  t.equal(loadPolicy({ dir, name: 'standard' }).policy.hash, standard.policy.hash)
  const changed = shipped(CATALOGUE_FILE).replace('[api.groq.com]', '[api.groq.com, api2.groq.com]')
  writeFileSync(join(dir, CATALOGUE_FILE), changed)
  t.not(loadPolicy({ dir, name: 'standard' }).policy.hash, standard.policy.hash)
})

t.test('a policy is plain, frozen data', async (t) => {
  t.strictSame(structuredClone(standard.policy), JSON.parse(JSON.stringify(standard.policy)))
  t.ok(Object.isFrozen(standard.policy.proxy.noName))
})

t.test('a name that is no plain name leads to no file', async (t) => {
  for (const name of ['../standard', 'schema/x', '', 'Standard', 'standard\0', 'providers/../standard']) {
    t.throws(
      () => loadPolicy({ dir: shippedDirectory, name }),
      { code: 'UNKNOWN_POLICY' },
      JSON.stringify(name),
    )
  }
  t.throws(() => loadPolicy({ dir: t.testdir(), name: 'lax' }), {
    code: 'UNKNOWN_POLICY',
    remedy: /write it/,
  })
})

t.test('a policy must bear the name of its file, and keys that are known', async (t) => {
  const dir = t.testdir()
  writeFileSync(join(dir, 'mine.yaml'), shipped('standard.yaml'))
  t.throws(() => loadPolicy({ dir, name: 'mine' }), {
    message: /mine\.yaml:9:7: `name` must be `mine`/,
  })
  writeFileSync(join(dir, 'standard.yaml'), shipped('standard.yaml').replace('otherAddress', 'otherAdress'))
  t.throws(() => loadPolicy({ dir, name: 'standard' }), {
    code: 'INVALID_DOCUMENT',
    message: /standard\.yaml:\d+:5: unknown key `otherAdress`; did you mean `otherAddress`\?/,
  })
  writeFileSync(
    join(dir, 'standard.yaml'),
    shipped('standard.yaml').replace('scope: providers', 'scope: everything'),
  )
  t.throws(() => loadPolicy({ dir, name: 'standard' }), { message: /`scope` must be `providers`/ })
})

t.test('the JSON Schemas are those of the schemas in force', async (t) => {
  for (const [file, schema] of Object.entries(jsonSchemas)) {
    t.strictSame(JSON.parse(shipped(file)), schema, `${file}: run policies/json-schema.ts to write it again`)
    t.match(schema, { $schema: 'http://json-schema.org/draft-07/schema#', additionalProperties: false })
  }
})

t.test('the shipped files name their schemas, which are there', async (t) => {
  for (const file of ['standard.yaml', CATALOGUE_FILE]) {
    const [, schema] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(shipped(file)) ?? []
    t.ok(schema !== undefined && schema in jsonSchemas, file)
  }
})
