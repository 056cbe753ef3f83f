import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { hostKeyVault } from '../../daemon/vault/host-key.ts'
import { createKeyFile } from '../../daemon/vault/key-file.ts'
import { VaultError } from '../../daemon/vault/vault-error.ts'

const ownership = { owner: process.getuid?.() ?? 0 }
const secret = Buffer.from('a secret of some length')

t.test('the host key is made once: 32 bytes, 0400, and the same at the next start', async (t) => {
  const file = join(t.testdir(), 'etc/host.key')
  const first = await hostKeyVault(file, ownership)
  const key = readFileSync(file)
  t.equal(key.length, 32)
  t.equal(statSync(file).mode & 0o777, 0o400)
  const sealed = await first.seal('log-key', secret)
  const second = await hostKeyVault(file, ownership)
  t.ok(readFileSync(file).equals(key))
  t.ok((await second.open('log-key', sealed)).equals(secret))
  t.same(readdirSync(join(file, '..')), ['host.key'], 'no draft is left')
})

t.test('starts at the same time agree on one key', async (t) => {
  const file = join(t.testdir(), 'host.key')
  const vaults = await Promise.all(Array.from({ length: 8 }, () => hostKeyVault(file, ownership)))
  const sealed = await vaults[0]!.seal('x', secret)
  for (const vault of vaults) t.ok((await vault.open('x', sealed)).equals(secret))
})

t.test('a blob opens for its own purpose only', async (t) => {
  const vault = await hostKeyVault(join(t.testdir(), 'host.key'), ownership)
  const sealed = await vault.seal('log-key', secret)
  await t.rejects(vault.open('body-key', sealed), { code: 'sealed-damaged' })
  await t.rejects(vault.open('log-ke', sealed), { code: 'sealed-damaged' })
  t.notOk((await vault.seal('log-key', secret)).equals(sealed), 'sealing twice gives two blobs')
  t.notOk(sealed.includes(secret))
})

t.test('a blob with any bit flipped, cut or lengthened does not open', async (t) => {
  const vault = await hostKeyVault(join(t.testdir(), 'host.key'), ownership)
  const sealed = await vault.seal('log-key', secret)
  const failures: string[] = []
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const copy = Buffer.from(sealed)
    copy[bit >> 3]! ^= 1 << (bit & 7)
    const error = await vault.open('log-key', copy).catch((e: unknown) => e)
    if (!(error instanceof VaultError)) failures.push(`bit ${bit}`)
  }
  t.same(failures, [])
  for (let length = 0; length < sealed.length; length++) {
    await t.rejects(vault.open('log-key', sealed.subarray(0, length)), VaultError)
  }
  await t.rejects(vault.open('log-key', Buffer.concat([sealed, Buffer.of(0)])), VaultError)
})

t.test('another host key is named as such', async (t) => {
  const dir = t.testdir()
  const [a, b] = await Promise.all(['a.key', 'b.key'].map((name) => hostKeyVault(join(dir, name), ownership)))
  await t.rejects(b!.open('log-key', await a!.seal('log-key', secret)), {
    code: 'host-key-wrong',
    message: /b\.key/,
  })
})

t.test('a key file that others could read or change is refused', async (t) => {
  const dir = t.testdir()
  const file = join(dir, 'host.key')
  await hostKeyVault(file, ownership)
  for (const mode of [0o440, 0o404, 0o420, 0o401, 0o666]) {
    chmodSync(file, mode)
    await t.rejects(hostKeyVault(file, ownership), { code: 'file-insecure' }, mode.toString(8))
  }
  chmodSync(file, 0o400)
  await t.rejects(hostKeyVault(file, { owner: ownership.owner + 1 }), {
    code: 'file-insecure',
    message: /uid/,
  })
  symlinkSync('host.key', join(dir, 'link.key'))
  await t.rejects(hostKeyVault(join(dir, 'link.key'), ownership), { code: 'file-insecure', message: /link/ })
  mkdirSync(join(dir, 'dir.key'))
  await t.rejects(hostKeyVault(join(dir, 'dir.key'), ownership), { code: 'file-insecure' })
  chmodSync(dir, 0o777)
  await t.rejects(hostKeyVault(file, ownership), { code: 'file-insecure', message: /writable/ })
})

t.test('a damaged key file is refused, left alone, and its bytes are in no error', async (t) => {
  const dir = t.testdir()
  const contents = [
    Buffer.alloc(0),
    Buffer.alloc(32),
    Buffer.alloc(31, 'K'),
    Buffer.alloc(33, 'K'),
    Buffer.alloc(5000, 'K'),
  ]
  for (const [index, content] of contents.entries()) {
    const file = join(dir, `${index}.key`)
    writeFileSync(file, content, { mode: 0o400 })
    const error = await hostKeyVault(file, ownership).catch((e: unknown) => e)
    t.ok(error instanceof VaultError && error.remedy !== '')
    t.notMatch(JSON.stringify(error) + String(error), /KKK|4b4b|S0tL/)
    t.ok(readFileSync(file).equals(content))
  }
})

t.test('purposes and secrets out of bounds are refused', async (t) => {
  const vault = await hostKeyVault(join(t.testdir(), 'host.key'), ownership)
  for (const purpose of ['', 'A', '../x', 'a b', 'a'.repeat(33), 'a\0']) {
    await t.rejects(vault.seal(purpose, secret), { code: 'purpose-invalid' })
    await t.rejects(vault.open(purpose, secret), { code: 'purpose-invalid' })
  }
  await t.rejects(vault.seal('x', Buffer.alloc(0)), { code: 'secret-invalid' })
  await t.rejects(vault.seal('x', Buffer.alloc(65537)), { code: 'secret-invalid' })
  const largest = Buffer.alloc(65536, 1)
  t.ok((await vault.open('x', await vault.seal('x', largest))).equals(largest))
})

t.test('creating never overwrites, whatever stands there', async (t) => {
  const dir = t.testdir({ key: 'old' })
  const file = join(dir, 'key')
  linkSync(file, join(dir, 'other'))
  t.equal(await createKeyFile(file, Buffer.from('new'), 0o600), false)
  t.equal(readFileSync(file, 'utf8'), 'old')
  symlinkSync('nowhere', join(dir, 'dangling'))
  t.equal(await createKeyFile(join(dir, 'dangling'), Buffer.from('new'), 0o600), false)
  t.notOk(existsSync(join(dir, 'nowhere')))
  t.same(readdirSync(dir).sort(), ['dangling', 'key', 'other'])
})
