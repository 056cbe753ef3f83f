/** Import of keys in the encrypted forms that other programs write. */
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Wallet } from 'ethers'
import t from 'tap'
import { importedKey } from '../../daemon/vault/import-key.ts'
import { ed25519PublicKey } from '../../daemon/vault/key-kinds.ts'
import { secretSource } from '../../daemon/vault/secret-source.ts'

const PASSPHRASE = 'the passphrase of this file'
const typed = (passphrase = PASSPHRASE) => secretSource({ prompt: async () => Buffer.from(passphrase) })
const file = (text: string | Buffer) => ({ name: 'given.file', bytes: Buffer.from(text) })

t.test("takes a log key as openssl's genpkey encrypts it", async (t) => {
  const path = join(t.testdir(), 'log.pem')
  const args = ['genpkey', '-algorithm', 'ed25519', '-aes256', '-pass', `pass:${PASSPHRASE}`, '-out', path]
  execFileSync('openssl', args, { stdio: 'pipe' })
  const seed = await importedKey('log', file(readFileSync(path)), typed())
  const spki = execFileSync('openssl', [
    'pkey',
    '-in',
    path,
    '-passin',
    `pass:${PASSPHRASE}`,
    '-pubout',
    '-outform',
    'DER',
  ])
  t.ok(ed25519PublicKey(seed).equals(spki.subarray(-32)))
  await t.rejects(importedKey('log', file(readFileSync(path)), typed('another')), {
    code: 'passphrase-wrong',
  })
})

t.test('takes a gateway key as wallets export it', async (t) => {
  const wallet = Wallet.createRandom()
  const keystore = wallet.encryptSync(PASSPHRASE)
  const secret = await importedKey('gateway', file(keystore), typed())
  t.equal(`0x${secret.toString('hex')}`, wallet.privateKey)
  await t.rejects(importedKey('gateway', file(keystore), typed('another')), { code: 'passphrase-wrong' })
})

t.test('refuses keys in clear, and what is no such key', async (t) => {
  const { privateKey } = generateKeyPairSync('ed25519')
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  const encrypted = { format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: PASSPHRASE } as const
  for (const [name, text, code] of [
    ['log', privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(), 'plaintext-refused'],
    ['log', rsa.export({ format: 'pem', type: 'pkcs1' }).toString(), 'plaintext-refused'],
    ['gateway', `0x${'12'.repeat(32)}\n`, 'plaintext-refused'],
    ['log', rsa.export(encrypted).toString(), 'import-invalid'],
    ['gateway', privateKey.export(encrypted).toString(), 'import-invalid'],
    ['log', '', 'import-invalid'],
    ['gateway', '{}', 'import-invalid'],
    ['log', 'x'.repeat(70_000), 'import-invalid'],
    [
      'log',
      '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n',
      'passphrase-wrong',
    ],
  ] as const) {
    await t.rejects(importedKey(name, file(text), typed()), { code, remedy: /./ })
  }
})
