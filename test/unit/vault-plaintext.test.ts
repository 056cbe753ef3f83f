/** Keys in clear are refused wherever people tend to put them, by a message that names the place and not the key. */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../daemon/config/config.ts'
import { refuseKeysInDirectory, refuseKeysInEnvironment } from '../../daemon/vault/plaintext.ts'

const hex = randomBytes(32).toString('hex')
const pem = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
const forms = [hex, `0x${hex}\n`, pem, randomBytes(32).toString('base64'), randomBytes(64).toString('base64')]

t.test('in the environment', async (t) => {
  for (const name of [
    'AGENT_ANCHOR_LOG_KEY',
    'AGENT_ANCHOR_PASSPHRASE',
    'agent_anchor_pin',
    'ETH_PRIVATE_KEY',
  ]) {
    const error = t.throws(
      () => refuseKeysInEnvironment({ [name]: hex }),
      { code: 'plaintext-refused' },
      name,
    )
    t.match(String(error), name)
    t.notMatch(String(error), hex)
  }
  refuseKeysInEnvironment({
    AGENT_ANCHOR_DEBUG: '1',
    AGENT_ANCHOR_LOG_KEY: '',
    SSH_AUTH_SOCK: '/x',
    PRIVATE_KEY: '/etc/ssl/private/web.pem',
    OPENAI_API_KEY: 'sk-x',
    MONKEY: hex,
  })
})

t.test('in the configuration', async (t) => {
  const file = join(t.testdir(), 'gateway.yaml')
  for (const text of [
    `vault: {gatewayKey: abc}\n`,
    `vault:\n  passphrase: correct horse\n`,
    `vault: { pkcs11: { module: /x.so, token: a, pin: 1234 } }\n`,
    `chains:\n  - privateKey: "0x${hex}"\n`,
    `# the old one was ${hex}\n`,
    `note: |\n  ${pem.split('\n').join('\n  ')}\n`,
  ]) {
    writeFileSync(file, text)
    const error = t.throws(() => loadConfig(file), { code: 'plaintext-refused', remedy: /keys import/ }, text)
    t.match(String(error), /line \d+ of/)
    t.notMatch(String(error), /correct horse|1234|[0-9a-f]{64}/)
  }
  writeFileSync(file, '# pin: none\nvault: {provider: pkcs11, pkcs11: {module: /x.so, token: a, key: b}}\n')
  t.equal(loadConfig(file).vault.pkcs11?.key, 'b')
})

t.test('in the directory of the sealed keys', async (t) => {
  const dir = t.testdir({
    'log.vkey': 'x',
    'README.txt': 'nothing',
    'log.sealed': '{}',
    'wrapping.passphrase': '{}',
  })
  await refuseKeysInDirectory(dir)
  for (const form of [...forms, randomBytes(32)]) {
    writeFileSync(join(dir, 'gateway.key'), form)
    await t.rejects(refuseKeysInDirectory(dir), { code: 'plaintext-refused', message: /gateway\.key/ })
  }
  await refuseKeysInDirectory(join(dir, 'none'))
})
