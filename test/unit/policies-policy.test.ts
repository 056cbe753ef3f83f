import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { jsonSchemas } from '../../policies/json-schema.ts'
import { loadPolicy } from '../../policies/policy.ts'
import { CATALOGUE_FILE, RESOLVERS_FILE, shippedDirectory } from '../../policies/shipped.ts'

const shipped = (name: string) => readFileSync(join(shippedDirectory, name), 'utf8')
const load = (name: string) => loadPolicy({ dir: shippedDirectory, name })
const standard = load('standard')

/** Paths of all settings, to their values. */
function flat(value: unknown, path = ''): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { [path]: value }
  const parts = Object.entries(value).map(([key, inner]) => flat(inner, path === '' ? key : `${path}.${key}`))
  return Object.assign({}, ...parts)
}

t.test('standard guards providers on the web ports', async (t) => {
  t.match(standard.policy, {
    name: 'standard',
    enforcement: {
      fence: 'providers',
      redirect: 'ports',
      ports: [80, 443],
      subjects: { users: 'everyone', containers: true },
      dns: 'direct',
      logGroup: 71,
    },
    proxy: { unknownName: 'splice' },
    traffic: { default: 'allow', rules: [] },
    hash: /^[0-9a-f]{64}$/,
  })
})

t.test('strict and lockdown fence everything and guard names, observe fences nothing', async (t) => {
  for (const name of ['strict', 'lockdown']) {
    t.match(load(name).policy, {
      enforcement: { fence: 'everything', redirect: 'all', dns: 'guarded' },
      proxy: { unknownName: 'splice', tunnel: 'refuse', resolvers: 'refuse', longNames: 'refuse' },
    })
  }
  t.strictSame(load('lockdown').policy.traffic, {
    default: 'block',
    rules: [{ name: 'providers', action: 'allow', providers: ['*'] }],
  })
  t.match(load('observe').policy, {
    enforcement: { fence: 'nothing', redirect: 'ports', dns: 'direct' },
    proxy: { unrecorded: 'forward', tunnel: 'record', nameMismatch: 'record' },
  })
  const { proxy, enforcement } = load('strict').policy
  t.strictSame(load('lockdown').policy.proxy, proxy, 'lockdown is strict but for its traffic')
  t.strictSame(load('lockdown').policy.enforcement, enforcement)
})

t.test('what a policy leaves out is as in standard, and standard leaves nothing out', async (t) => {
  const dir = t.testdir({ 'mine.yaml': 'apiVersion: agent-anchor/v1\nkind: Policy\nname: mine\n' })
  const { name, description, hash, ...settings } = standard.policy
  const { name: _, description: none, hash: other, ...defaults } = loadPolicy({ dir, name: 'mine' }).policy
  t.strictSame(defaults, settings)
  t.equal(none, '')
  t.not(other, hash)
  t.ok(name && description)
  const written = Object.keys(flat(parse(shipped('standard.yaml'))))
  t.strictSame(written.sort(), Object.keys(flat(settings)).concat('name', 'description').sort())
})

t.test('files that the directory lacks are the shipped ones', async (t) => {
  t.strictSame(loadPolicy({ dir: join(t.testdir(), 'none'), name: 'standard' }), standard)
})

t.test("the administrator's files take the place of the shipped ones, each by itself", async (t) => {
  const dir = t.testdir()
  writeFileSync(
    join(dir, 'standard.yaml'),
    shipped('standard.yaml').replace('ports: [80, 443]', 'ports: [443]'),
  )
  const own = loadPolicy({ dir, name: 'standard' })
  t.strictSame(own.policy.enforcement.ports, [443])
  t.strictSame(own.catalogue, standard.catalogue)
  t.not(own.policy.hash, standard.policy.hash)
})

t.test('a link that leads nowhere is an error, not a reason to fall back', async (t) => {
  const dir = t.testdir()
  symlinkSync('gone', join(dir, 'standard.yaml'))
  t.throws(() => loadPolicy({ dir, name: 'standard' }), { code: 'UNKNOWN_POLICY' })
  for (const file of [CATALOGUE_FILE, RESOLVERS_FILE]) {
    const other = t.testdir()
    symlinkSync('gone', join(other, file))
    t.throws(() => loadPolicy({ dir: other, name: 'standard' }), { code: 'FILE_UNREADABLE' })
  }
})

t.test('a directory that cannot be looked into is an error, not one without files', async (t) => {
  const dir = t.testdir()
  symlinkSync('loop', join(dir, 'loop'))
  t.throws(() => loadPolicy({ dir: join(dir, 'loop'), name: 'standard' }), { code: 'FILE_UNREADABLE' })
})

t.test('the hash covers policy, catalogue and resolvers, and neither comments nor layout', async (t) => {
  const dir = t.testdir()
  writeFileSync(join(dir, 'standard.yaml'), shipped('standard.yaml').replace(/^ *#.*\n/gm, ''))
  t.equal(loadPolicy({ dir, name: 'standard' }).policy.hash, standard.policy.hash)
  const changed = shipped(CATALOGUE_FILE).replace('[api.groq.com]', '[api.groq.com, api2.groq.com]')
  writeFileSync(join(dir, CATALOGUE_FILE), changed)
  const { hash } = loadPolicy({ dir, name: 'standard' }).policy
  t.not(hash, standard.policy.hash)
  writeFileSync(join(dir, RESOLVERS_FILE), shipped(RESOLVERS_FILE).replace('dns.google,', ''))
  t.not(loadPolicy({ dir, name: 'standard' }).policy.hash, hash)
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
    message: /mine\.yaml:\d+:7: `name` must be `mine`/,
  })
  writeFileSync(
    join(dir, 'standard.yaml'),
    shipped('standard.yaml').replace('    otherAddress', '    otherAdress'),
  )
  t.throws(() => loadPolicy({ dir, name: 'standard' }), {
    code: 'INVALID_DOCUMENT',
    message: /standard\.yaml:\d+:5: unknown key `otherAdress`; did you mean `otherAddress`\?/,
  })
  writeFileSync(
    join(dir, 'standard.yaml'),
    shipped('standard.yaml').replace('fence: providers', 'fence: provider'),
  )
  t.throws(() => loadPolicy({ dir, name: 'standard' }), {
    message: /`fence` must be one of .*did you mean `providers`\?/,
  })
})

t.test('the JSON Schemas are those of the schemas in force', async (t) => {
  for (const [file, schema] of Object.entries(jsonSchemas)) {
    t.strictSame(JSON.parse(shipped(file)), schema, `${file}: run policies/json-schema.ts to write it again`)
    t.match(schema, { $schema: 'http://json-schema.org/draft-07/schema#', additionalProperties: false })
  }
})

t.test('the shipped files name their schemas, which are there', async (t) => {
  for (const file of readdirSync(shippedDirectory).filter((name) => name.endsWith('.yaml'))) {
    const [, schema] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(shipped(file)) ?? []
    t.ok(schema !== undefined && schema in jsonSchemas, file)
  }
})
