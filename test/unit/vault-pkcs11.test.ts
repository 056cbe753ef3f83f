/** The PKCS#11 provider on a real module: Debian's SoftHSM, with tokens of the test's own. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Pkcs11Settings, pkcs11Provider } from '../../daemon/vault/pkcs11.ts'
import type { MechanismName } from '../../daemon/vault/pkcs11-mechanism.ts'
import { secretSource } from '../../daemon/vault/secret-source.ts'

const MODULE = '/usr/lib/softhsm/libsofthsm2.so'
const PIN = '648219'
const SO_PIN = '87654321'
const ownership = { owner: process.getuid?.() ?? 0 }

const dir = t.testdir()
const tokens = join(dir, 'tokens')
mkdirSync(tokens)
const configuration = join(dir, 'softhsm2.conf')
writeFileSync(
  configuration,
  `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`,
)
// Read by the module itself.
process.env.SOFTHSM2_CONF = configuration

const tool = (program: string, ...args: string[]) =>
  execFileSync(program, args, {
    stdio: 'pipe',
    env: { PATH: process.env.PATH, SOFTHSM2_CONF: configuration },
  })

const newToken = (label: string) =>
  tool('softhsm2-util', ...['--init-token', '--free', '--label', label, '--pin', PIN, '--so-pin', SO_PIN])

function provider(keysDirectory: string, change: Partial<Pkcs11Settings> = {}, pin = PIN) {
  const settings = {
    module: MODULE,
    token: 'gateway',
    key: 'agent-anchor',
    mechanism: 'aes-gcm' as MechanismName,
    ...change,
  }
  const secrets = secretSource({ prompt: async () => Buffer.from(pin) })
  return pkcs11Provider({ keysDirectory, settings, secrets, ownership })
}

newToken('gateway')

for (const mechanism of ['aes-gcm', 'rsa-oaep'] as const) {
  t.test(
    `${mechanism}: what a key in the token closed it opens, and the key can't be taken out`,
    async (t) => {
      const keys = t.testdir()
      const key = `key of ${mechanism}`
      const made = await provider(keys, { mechanism, key }).create()
      t.equal(made.length, 32)
      t.ok((await provider(keys, { mechanism, key }).open())?.equals(made))
      const file = readFileSync(join(keys, 'wrapping.pkcs11'), 'latin1')
      for (const form of ['hex', 'base64'] as const) t.notOk(file.includes(made.toString(form)))
      const listed = tool(
        'pkcs11-tool',
        ...['--module', MODULE, '--token-label', 'gateway', '--login', '--pin', PIN, '--list-objects'],
      ).toString()
      t.match(listed, new RegExp(`label:\\s+${key}`))
      t.match(listed, /sensitive, always sensitive, never extract/)
    },
  )
}

t.test('each thing that can be wrong is an error of its own, with what to do', async (t) => {
  const dirs = t.testdir({ keys: {}, empty: {} })
  const keys = join(dirs, 'keys')
  await provider(keys).create()
  await t.rejects(provider(keys, {}, '111111').open(), { code: 'pkcs11-pin-wrong', remedy: /lock/ })
  await t.rejects(provider(keys, {}, '1').open(), { code: 'pkcs11-pin-wrong' }, 'too short to be one')
  await t.rejects(provider(keys, { module: '/usr/lib/nowhere.so' }).open(), {
    code: 'pkcs11-module',
    remedy: /vault\.pkcs11\.module/,
  })
  await t.rejects(provider(keys, { module: configuration }).open(), { code: 'pkcs11-module' }, 'no library')
  await t.rejects(provider(keys, { token: 'other' }).open(), {
    code: 'pkcs11-token-missing',
    remedy: /one of: gateway/,
  })
  await t.rejects(provider(join(dirs, 'empty'), { token: 'other' }).create(), {
    code: 'pkcs11-token-missing',
  })
  const unset = pkcs11Provider({
    keysDirectory: keys,
    settings: undefined,
    secrets: secretSource({}),
    ownership,
  })
  t.match(await unset.unavailable(), /not configured/)
  await t.rejects(unset.open(), { code: 'provider-unavailable' })
})

t.test('a token that is gone is met at the next call, and one that comes back serves again', async (t) => {
  const keys = t.testdir()
  const made = await provider(keys).create()
  renameSync(tokens, `${tokens}.away`)
  mkdirSync(tokens)
  await t.rejects(provider(keys).open(), { code: 'pkcs11-token-missing' })
  execFileSync('rm', ['-r', tokens])
  renameSync(`${tokens}.away`, tokens)
  t.ok((await provider(keys).open())?.equals(made))
})

t.test('a key that was deleted, or replaced by another of its label, opens nothing', async (t) => {
  newToken('short-lived')
  const dirs = t.testdir({ keys: {}, empty: {} })
  const keys = join(dirs, 'keys')
  const there = { token: 'short-lived' }
  await provider(keys, there).create()
  const remove = () =>
    tool(
      'pkcs11-tool',
      ...['--module', MODULE, '--token-label', 'short-lived', '--login', '--pin', PIN],
      ...['--delete-object', '--type', 'secrkey', '--label', 'agent-anchor'],
    )
  remove()
  await t.rejects(provider(keys, there).open(), { code: 'pkcs11-key-missing', remedy: /Restore the token/ })
  await provider(join(dirs, 'empty'), there).create()
  await t.rejects(provider(keys, there).open(), { code: 'wrapping-key-wrong' })
})

t.test('a file that was changed is refused', async (t) => {
  const keys = t.testdir()
  await provider(keys).create()
  const file = join(keys, 'wrapping.pkcs11')
  const good = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>
  const blob = Buffer.from(good.blob ?? '', 'base64')
  blob[3]! ^= 1
  writeFileSync(file, JSON.stringify({ ...good, blob: blob.toString('base64') }))
  await t.rejects(provider(keys).open(), { code: 'wrapping-key-wrong' })
  writeFileSync(file, JSON.stringify({ ...good, mechanism: 'xor' }))
  await t.rejects(provider(keys).open(), { code: 'wrapping-key-damaged' })
})

t.test('no error holds the PIN', async (t) => {
  const keys = t.testdir()
  await provider(keys).create()
  const error = await provider(keys, {}, '918273')
    .open()
    .catch((e: unknown) => e)
  t.notMatch(JSON.stringify(error, Object.getOwnPropertyNames(error)), /918273/)
})
