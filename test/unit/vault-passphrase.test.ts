/** The passphrase provider, and where a passphrase may come from. */
import { chmodSync, closeSync, openSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { passphraseProvider } from '../../daemon/vault/passphrase.ts'
import { secretSource } from '../../daemon/vault/secret-source.ts'

const ownership = { owner: process.getuid?.() ?? 0 }
/** Cheap, so that the file takes no seconds; one test takes the real cost. */
const cost = { N: 2 ** 14, r: 8, p: 1 }
const RIGHT = 'six random words would do nicely'

const provider = (keysDirectory: string, typed: string, cheap = true) => {
  const secrets = secretSource({ prompt: async () => Buffer.from(typed) })
  return passphraseProvider({ keysDirectory, secrets, ownership, ...(cheap ? { cost } : {}) })
}

t.test('what one passphrase closed it opens, and another does not', async (t) => {
  const dir = t.testdir()
  t.equal(await provider(dir, RIGHT).open(), undefined, 'none was made yet')
  const made = await provider(dir, RIGHT).create()
  t.ok((await provider(dir, RIGHT).open())?.equals(made))
  await t.rejects(provider(dir, `${RIGHT}!`).open(), { code: 'passphrase-wrong', remedy: /Try again/ })
  const file = readFileSync(join(dir, 'wrapping.passphrase'), 'latin1')
  for (const form of ['hex', 'base64'] as const) t.notOk(file.includes(made.toString(form)))
})

t.test('its parameters stand in the file and are those that it was made with', async (t) => {
  const dir = t.testdir()
  const made = await provider(dir, RIGHT, false).create()
  const fields = JSON.parse(readFileSync(join(dir, 'wrapping.passphrase'), 'utf8'))
  t.match(fields, { format: 'agent-anchor-wrapping/1', kdf: 'scrypt', N: 131072, r: 8, p: 1 })
  t.ok((await provider(dir, RIGHT).open())?.equals(made), 'whatever another version makes new ones with')
})

t.test('a changed file is refused, and one that asks for all memory too', async (t) => {
  const dir = t.testdir()
  await provider(dir, RIGHT).create()
  const file = join(dir, 'wrapping.passphrase')
  const good = readFileSync(file, 'utf8')
  for (const [from, to, code] of [
    ['"N": 16384', '"N": 1073741824', 'wrapping-key-damaged'],
    ['"N": 16384', '"N": 32768', 'passphrase-wrong'],
    ['"kdf": "scrypt"', '"kdf": "none"', 'wrapping-key-damaged'],
    ['agent-anchor-wrapping/1', 'agent-anchor-wrapping/2', 'wrapping-key-damaged'],
    ['{', '[', 'wrapping-key-damaged'],
  ] as const) {
    writeFileSync(file, good.replace(from, to))
    await t.rejects(provider(dir, RIGHT).open(), { code }, to)
  }
})

t.test('a weak passphrase is refused, and two that differ', async (t) => {
  await t.rejects(provider(t.testdir(), 'short').create(), { code: 'passphrase-weak' })
  let asked = 0
  const prompt = async () => Buffer.from(`${RIGHT} ${asked++}`)
  const secrets = secretSource({ prompt })
  const made = passphraseProvider({ keysDirectory: t.testdir(), secrets, ownership, cost }).create()
  await t.rejects(made, { code: 'secret-needed', message: /not the same/ })
})

t.test('a start that nobody attends is refused with what to do', async (t) => {
  const secrets = secretSource({ prompt: async () => undefined })
  const error = await secrets.ask('passphrase', 'the vault').catch((e: unknown) => e)
  t.match(error, { code: 'secret-needed', message: /no terminal/, remedy: /--passphrase-fd N.*rewrap --to/ })
})

t.test('a descriptor gives it, without its newline, and once', async (t) => {
  const file = join(t.testdir(), 'here-document')
  writeFileSync(file, `${RIGHT}\n`)
  const fd = openSync(file, 'r')
  unlinkSync(file)
  const secrets = secretSource({ fds: { passphrase: fd }, prompt: async () => undefined })
  t.equal((await secrets.ask('passphrase', 'x')).toString(), RIGHT)
  await t.rejects(secrets.ask('passphrase', 'x'), { code: 'secret-needed' }, 'it was closed')
})

t.test('a file with a name is refused behind a descriptor too', async (t) => {
  const file = join(t.testdir(), 'pin.txt')
  writeFileSync(file, '1234')
  const fd = openSync(file, 'r')
  const error = await secretSource({ fds: { pin: fd } })
    .ask('pin', 'the token')
    .catch((e: unknown) => e)
  t.match(error, { code: 'plaintext-refused', remedy: /remove the file/ })
  t.notMatch((error as Error).message, /1234/)
  closeSync(fd)
})

t.test(
  "systemd's credential gives it, if it is root's alone",
  { skip: ownership.owner !== 0 && 'as root' },
  async (t) => {
    const dir = t.testdir()
    const file = join(dir, 'agent-anchor-pin')
    writeFileSync(file, '4321\n')
    chmodSync(file, 0o400)
    const secrets = secretSource({ credentials: dir, prompt: async () => undefined })
    t.equal((await secrets.ask('pin', 'the token')).toString(), '4321')
    chmodSync(file, 0o444)
    await t.rejects(secrets.ask('pin', 'the token'), { code: 'file-insecure' })
    await t.rejects(
      secrets.ask('passphrase', 'the vault'),
      { code: 'secret-needed' },
      'another name is not there',
    )
  },
)
