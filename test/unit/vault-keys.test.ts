import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { hostKeyVault, openHostKeyVault } from '../../daemon/vault/host-key.ts'
import { type Keys, loadOrCreateKeys, openBodyKey, wipeKeys } from '../../daemon/vault/keys.ts'
import { openSealed, sealTo } from '../../daemon/vault/sealed-file.ts'
import type { Vault } from '../../daemon/vault/vault.ts'
import { VaultError } from '../../daemon/vault/vault-error.ts'
import { publishVerifierKey, WITNESS_VERIFIER_KEY_FILE } from '../../daemon/vault/verifier-key.ts'
import { openWitnessKey, readWitnessKey } from '../../daemon/vault/witness-key.ts'

const ownership = { owner: process.getuid?.() ?? 0 }
const NAMES = ['log', 'gateway', 'body', 'fingerprint']

async function machine(t: { testdir(): string }) {
  const root = t.testdir()
  const vault = await hostKeyVault(join(root, 'host.key'), ownership)
  const dir = join(root, 'state/keys')
  return { vault, dir, load: () => loadOrCreateKeys(vault, dir, ownership) }
}

function hexOf(keys: Keys): string[] {
  return [keys.log.privateKey, keys.log.publicKey, keys.gateway, keys.body, keys.fingerprint].map((key) =>
    key.toString('hex'),
  )
}

t.test('the first start makes four keys, and later starts load the same', async (t) => {
  const { dir, load } = await machine(t)
  const first = hexOf(await load())
  t.equal(new Set(first).size, 5)
  for (const hex of first) t.match(hex, /^[0-9a-f]{64}$/)
  t.same(hexOf(await load()), first)
  t.same(readdirSync(dir).sort(), NAMES.map((name) => `${name}.sealed`).sort())
  for (const name of NAMES) t.equal(statSync(join(dir, `${name}.sealed`)).mode & 0o777, 0o600)
})

t.test('no key is on disk in clear, in any encoding', async (t) => {
  const { dir, load } = await machine(t)
  const keys = await load()
  const files = readdirSync(dir).map((name) => readFileSync(join(dir, name)))
  for (const key of [keys.log.privateKey, keys.gateway, keys.body, keys.fingerprint]) {
    for (const form of [key, key.toString('hex'), key.toString('base64').slice(0, 40)]) {
      for (const file of files) t.notOk(file.includes(form))
    }
  }
})

t.test('the log key is Ed25519: its seed signs what its public key verifies', async (t) => {
  const { log } = await (await machine(t)).load()
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: log.publicKey.toString('base64url') }
  const privateKey = createPrivateKey({
    key: { ...jwk, d: log.privateKey.toString('base64url') },
    format: 'jwk',
  })
  const signature = sign(null, Buffer.from('note'), privateKey)
  t.ok(verify(null, Buffer.from('note'), createPublicKey({ key: jwk, format: 'jwk' }), signature))
})

t.test('a missing key beside others is an error and nothing is made', async (t) => {
  for (const name of NAMES) {
    const { dir, load } = await machine(t)
    await load()
    unlinkSync(join(dir, `${name}.sealed`))
    const before = readdirSync(dir)
    await t.rejects(load(), {
      code: 'keys-incomplete',
      message: new RegExp(`${name}\\.sealed`),
      remedy: /backup/,
    })
    t.same(readdirSync(dir), before)
  }
})

t.test('all keys gone while the verifier key is there is an error too', async (t) => {
  const { dir, load } = await machine(t)
  await load()
  await publishVerifierKey(dir, 'log.example+00000000+AAAA')
  for (const name of NAMES) unlinkSync(join(dir, `${name}.sealed`))
  await t.rejects(load(), { code: 'keys-incomplete' })
})

t.test('a start that a crash cut off is finished by the next, and never later', async (t) => {
  for (let crashAt = 1; crashAt <= NAMES.length; crashAt++) {
    const { vault, dir, load } = await machine(t)
    let seals = 0
    const crashing: Vault = {
      ...vault,
      async seal(purpose, secret) {
        if (++seals === crashAt) throw new Error('power cut')
        return vault.seal(purpose, secret)
      },
    }
    await t.rejects(loadOrCreateKeys(crashing, dir, ownership), { message: 'power cut' })
    const made = readdirSync(dir).filter((name) => name.endsWith('.sealed'))
    t.equal(made.length, crashAt - 1)
    const contents = made.map((name) => readFileSync(join(dir, name), 'hex'))
    const keys = hexOf(await load())
    t.same(
      made.map((name) => readFileSync(join(dir, name), 'hex')),
      contents,
      'those that stood are kept',
    )
    t.same(hexOf(await load()), keys)
    unlinkSync(join(dir, 'log.sealed'))
    await t.rejects(load(), { code: 'keys-incomplete' })
  }
})

t.test('a leftover of the making is cleared once all keys are there', async (t) => {
  const { dir, load } = await machine(t)
  await load()
  writeFileSync(join(dir, 'being-made'), '')
  await load()
  unlinkSync(join(dir, 'body.sealed'))
  await t.rejects(load(), { code: 'keys-incomplete' })
})

t.test('a sealed file with any bit flipped is refused', async (t) => {
  const { vault, dir, load } = await machine(t)
  await load()
  const file = join(dir, 'log.sealed')
  const sound = readFileSync(file)
  const opened: string[] = []
  for (let bit = 0; bit < sound.length * 8; bit++) {
    const copy = Buffer.from(sound)
    copy[bit >> 3]! ^= 1 << (bit & 7)
    writeFileSync(file, copy)
    const error = await openSealed(vault, file, 'log-key', ownership).catch((e: unknown) => e)
    if (!(error instanceof VaultError)) opened.push(`byte ${bit >> 3} bit ${bit & 7}`)
  }
  t.same(opened, [])
  writeFileSync(file, sound.subarray(0, -1))
  await t.rejects(load(), VaultError)
  writeFileSync(file, sound)
  await load()
})

t.test('a key file moved to another’s place is refused', async (t) => {
  const { dir, load } = await machine(t)
  await load()
  renameSync(join(dir, 'body.sealed'), join(dir, 'log.sealed'))
  writeFileSync(join(dir, 'body.sealed'), readFileSync(join(dir, 'log.sealed')), { mode: 0o600 })
  await t.rejects(load(), { code: 'sealed-damaged' })
})

t.test('a key in clear is refused, and is in no error', async (t) => {
  const { dir, load } = await machine(t)
  await load()
  const clear = 'd00dfeed'.repeat(8)
  const contents = [
    clear,
    Buffer.from(clear, 'hex'),
    `{"format":"agent-anchor-sealed/1","key":"${clear}"}`,
    `"${clear}`,
    '',
  ]
  for (const content of contents) {
    writeFileSync(join(dir, 'log.sealed'), content)
    const error = await load().catch((e: unknown) => e)
    t.ok(error instanceof VaultError && error.code === 'sealed-plaintext' && error.remedy !== '')
    t.notMatch(`${error} ${error instanceof Error ? error.cause : ''}`, /d00d/)
  }
})

t.test('a sealed file that others could read is refused', async (t) => {
  const { dir, load } = await machine(t)
  await load()
  chmodSync(join(dir, 'body.sealed'), 0o644)
  await t.rejects(load(), { code: 'file-insecure' })
})

t.test('a lost host key is told apart from a damaged file', async (t) => {
  const { dir, load } = await machine(t)
  await load()
  const other = await hostKeyVault(join(dir, '../other.key'), ownership)
  await t.rejects(loadOrCreateKeys(other, dir, ownership), { code: 'host-key-wrong' })
})

t.test('a file of another kind of vault says which', async (t) => {
  const { vault, dir } = await machine(t)
  await sealTo({ ...vault, level: 'tpm2' }, join(dir, 'ca.sealed'), 'ca-key', Buffer.from('x'))
  await t.rejects(openSealed(vault, join(dir, 'ca.sealed'), 'ca-key', ownership), {
    code: 'sealed-elsewhere',
    message: /"tpm2"/,
  })
})

t.test('a sealed key of the wrong shape is refused', async (t) => {
  const order = Buffer.from('fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141', 'hex')
  for (const scalar of [Buffer.alloc(32), order, Buffer.alloc(32, 0xff), Buffer.alloc(31, 1)]) {
    const { vault, dir, load } = await machine(t)
    await load()
    await sealTo(vault, join(dir, 'gateway.sealed'), 'gateway-key', scalar, { replace: true })
    await t.rejects(load(), { code: 'secret-invalid' })
  }
})

t.test('sealing overwrites only when told to', async (t) => {
  const { vault, dir } = await machine(t)
  const file = join(dir, 'ca.sealed')
  t.equal(await openSealed(vault, file, 'ca-key', ownership), undefined)
  await sealTo(vault, file, 'ca-key', Buffer.from('one'))
  await t.rejects(sealTo(vault, file, 'ca-key', Buffer.from('two')), { code: 'already-sealed' })
  t.equal((await openSealed(vault, file, 'ca-key', ownership))?.toString(), 'one')
  await sealTo(vault, file, 'ca-key', Buffer.from('two'), { replace: true })
  t.equal((await openSealed(vault, file, 'ca-key', ownership))?.toString(), 'two')
  t.equal(statSync(file).mode & 0o777, 0o600)
})

t.test('the CA’s sealed key alone does not count as an earlier start', async (t) => {
  const { vault, dir, load } = await machine(t)
  await sealTo(vault, join(dir, 'ca.sealed'), 'ca-key', Buffer.from('pem'))
  await load()
})

t.test('the verifier key is written once, readable by all, and never changed', async (t) => {
  const { dir } = await machine(t)
  const umask = process.umask(0o077)
  t.teardown(() => process.umask(umask))
  const file = join(dir, 'log.vkey')
  await publishVerifierKey(dir, 'log.example+00000000+AAAA')
  await publishVerifierKey(dir, 'log.example+00000000+AAAA\n')
  t.equal(readFileSync(file, 'utf8'), 'log.example+00000000+AAAA\n')
  t.equal(statSync(file).mode & 0o777, 0o644)
  await t.rejects(publishVerifierKey(dir, 'other.example+00000000+AAAA'), { code: 'verifier-key-differs' })
  rmSync(file)
  mkdirSync(file)
  await t.rejects(publishVerifierKey(dir, 'log.example+00000000+AAAA'), { code: 'file-unreadable' })
})

t.test('a reader opens the body key alone and makes nothing', async (t) => {
  const { vault, dir, load } = await machine(t)
  await t.rejects(openBodyKey(vault, dir, ownership), { code: 'keys-incomplete' })
  const { body } = await load()
  const reader = await openHostKeyVault(join(dir, '../../host.key'), ownership)
  t.ok((await openBodyKey(reader, dir, ownership)).equals(body))
  const absent = join(dir, 'absent.key')
  await t.rejects(openHostKeyVault(absent, ownership), { code: 'host-key-missing' })
  t.notOk(readdirSync(dir).includes('absent.key'))
})

t.test('wiping leaves no private byte in memory', async (t) => {
  const keys = await (await machine(t)).load()
  wipeKeys(keys)
  for (const key of [keys.log.privateKey, keys.gateway, keys.body, keys.fingerprint]) {
    t.ok(key.equals(Buffer.alloc(32)))
  }
})

t.test('the witness key is made when it is first asked for, and never replaced', async (t) => {
  const { vault, dir, load } = await machine(t)
  await load()
  t.equal(await readWitnessKey(vault, dir, ownership), undefined)
  const seed = await openWitnessKey(vault, dir, ownership)
  t.same(await openWitnessKey(vault, dir, ownership), seed)
  await load()
  await publishVerifierKey(dir, 'w.example+00000000+AAAA', WITNESS_VERIFIER_KEY_FILE)
  const file = join(dir, 'witness.sealed')
  renameSync(file, `${file}.away`)
  await t.rejects(openWitnessKey(vault, dir, ownership), { code: 'keys-incomplete' })
  t.notOk(readdirSync(dir).includes('witness.sealed'))
  await sealTo(vault, file, 'witness-key', Buffer.from('short'))
  await t.rejects(openWitnessKey(vault, dir, ownership), { code: 'secret-invalid' })
})
