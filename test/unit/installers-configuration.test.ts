import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { type WantedSettings, writeConfiguration } from '../../installers/configuration.ts'
import { openManifest } from '../../installers/manifest.ts'
import { withSetting } from '../../installers/settings.ts'
import { scratch } from './scratch.ts'

const SHIPPED = resolve(import.meta.dirname, '../../installers/gateway.yaml')

/** The shipped configuration with a policiesDir of the test's own. */
async function rig() {
  const root = scratch()
  const file = join(root, 'etc/gateway.yaml')
  const shipped = join(root, 'shipped.yaml')
  mkdirSync(join(root, 'etc'))
  const policies = join(root, 'etc/policies')
  writeFileSync(shipped, withSetting(readFileSync(SHIPPED, 'utf8'), 'policiesDir', policies))
  const manifest = await openManifest(join(root, 'etc/manifest.json'))
  return {
    root,
    file,
    policies,
    shipped,
    manifest,
    text: () => readFileSync(file, 'utf8'),
    write: (wanted: WantedSettings) => writeConfiguration(manifest, wanted, { file, shipped }),
  }
}

t.test('a new configuration is the shipped one', async (t) => {
  const { write, text, shipped } = await rig()
  const { config, changed } = await write({})
  t.equal(text(), readFileSync(shipped, 'utf8'))
  t.equal(config.policy, 'standard')
  t.equal(changed, false, 'nothing ran under another one')
})

t.test('--policy and --chain are written into a new one, and nothing else of it changes', async (t) => {
  const { write, text, shipped } = await rig()
  const { config } = await write({
    policy: 'strict',
    chain: { name: 'base', rpc: ['https://one.example/?k=a: b'.replace(' ', '')] },
  })
  t.match(config, { policy: 'strict', chains: [{ name: 'base', kind: 'rpc', chainId: 8453 }] })
  const lines = (all: string) => new Set(all.split('\n'))
  const before = lines(readFileSync(shipped, 'utf8'))
  const added = [...lines(text())].filter((line) => !before.has(line))
  t.same(added, ['policy: strict', '  - name: base', '    rpc:', '      - https://one.example/?k=a:b'])
})

t.test('one that nobody has edited takes a new setting; the same again changes nothing', async (t) => {
  const { write } = await rig()
  await write({})
  t.match(await write({ policy: 'strict' }), { changed: true, config: { policy: 'strict' } })
  t.match(await write({ policy: 'strict' }), { changed: false })
  t.match(await write({}), { changed: false, config: { policy: 'strict' } })
  t.match(await write({ chain: { name: 'development', rpc: [] } }), {
    changed: true,
    config: { policy: 'strict' },
  })
})

t.test('one that somebody has edited is left alone, and the error says what to write', async (t) => {
  const { write, file, text } = await rig()
  await write({})
  writeFileSync(file, `${text()}# mine\n`)
  const before = text()
  const error = await write({ policy: 'lockdown', chain: { name: 'development', rpc: [] } }).catch(
    (thrown: unknown) => thrown,
  )
  t.match(error, {
    code: 'CONFIGURATION_STANDS',
    remedy: /policy: lockdown\nchains:\n {2}- name: development$/,
  })
  t.equal(text(), before)
  t.match(await write({ policy: 'standard' }), { changed: false }, 'what it says already may be asked for')
})

t.test("a policy's file is checked and copied to the administrator's policies", async (t) => {
  const { root, write, policies, manifest } = await rig()
  const own = join(root, 'mine.yaml')
  cpSync(resolve(import.meta.dirname, '../../policies/strict.yaml'), own)
  writeFileSync(own, readFileSync(own, 'utf8').replace(/^name: strict$/m, 'name: mine'))
  const { config } = await write({ policy: own })
  t.equal(config.policy, 'mine')
  t.equal(readFileSync(join(policies, 'mine.yaml'), 'utf8'), readFileSync(own, 'utf8'))
  t.match(manifest.steps, [{ kind: 'configuration', path: join(policies, 'mine.yaml') }])

  writeFileSync(join(policies, 'mine.yaml'), `${readFileSync(own, 'utf8')}# edited\n`)
  await t.rejects(write({ policy: own }), { code: 'CONFIGURATION_STANDS' })
})

t.test('a policy or a chain that is unknown is refused', async (t) => {
  for (const wanted of [
    { policy: 'nothing-like-it' },
    { policy: '/nowhere/x.yaml' },
    { chain: { name: 'base', rpc: [] } },
    { chain: { name: 'Not a name', rpc: ['https://one.example'] } },
    { chain: { name: 'base', rpc: ['ftp://one.example'] } },
  ]) {
    const { write } = await rig()
    const error = await write(wanted).catch((thrown: unknown) => thrown)
    t.match(error, { remedy: /./ }, JSON.stringify(wanted))
  }
})
