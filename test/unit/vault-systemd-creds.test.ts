/**
 * The systemd-creds provider on the real program, in a mount namespace of its own: systemd keeps its key in
 * /var/lib/systemd, and the machine's own is left alone.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { openVault } from '../../daemon/vault/open-vault.ts'
import { secretSource } from '../../daemon/vault/secret-source.ts'
import { type Answer, systemdCredsProvider } from '../../daemon/vault/systemd-creds.ts'

if (process.argv[2] !== 'inside') {
  const script = fileURLToPath(import.meta.url)
  const { status } = spawnSync('unshare', ['--mount', process.execPath, script, 'inside'], {
    stdio: 'inherit',
  })
  process.exit(status ?? 1)
}
execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', '/var/lib/systemd'])

const ownership = { owner: process.getuid?.() ?? 0 }
const provider = (keysDirectory: string, more: Partial<Parameters<typeof systemdCredsProvider>[0]> = {}) =>
  systemdCredsProvider({ keysDirectory, ownership, ...more })

t.test('the key of this installation seals it where there is no TPM, and status says so', async (t) => {
  const dir = t.testdir()
  t.equal(await provider(dir).unavailable(), undefined)
  t.equal(await provider(dir).open(), undefined)
  const made = await provider(dir).create()
  t.equal(made.length, 32)
  t.ok((await provider(dir).open())?.equals(made))
  t.equal(await provider(dir).describe(), 'systemd-creds (host key)')
  const file = readFileSync(join(dir, 'wrapping.systemd-creds'), 'latin1')
  for (const form of ['hex', 'base64'] as const) t.notOk(file.includes(made.toString(form)))
  await t.rejects(provider(dir).create(), { code: 'already-sealed' })
})

t.test('the unit is handed it by systemd: the program is not called', async (t) => {
  const dir = t.testdir({ keys: {}, credentials: {} })
  const keys = join(dir, 'keys')
  await provider(keys).create()
  const handed = Buffer.alloc(32, 7)
  writeFileSync(join(dir, 'credentials/agent-anchor-vault'), handed)
  const run = async (): Promise<Answer> => ({ code: 1, stdout: Buffer.alloc(0), stderr: 'no' })
  const inUnit = provider(keys, { credentials: join(dir, 'credentials'), run })
  t.ok((await inUnit.open())?.equals(handed))
  const notHanded = provider(keys, { credentials: keys, run })
  await t.rejects(notHanded.open(), { code: 'systemd-creds-failed' }, 'where it is not, it is')
})

t.test('another installation opens nothing, and says what to do', async (t) => {
  const dir = t.testdir()
  await provider(dir).create()
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', '/var/lib/systemd'])
  try {
    await t.rejects(provider(dir).open(), { code: 'systemd-creds-failed', remedy: /of this machine/ })
  } finally {
    execFileSync('umount', ['/var/lib/systemd'])
  }
  t.ok(await provider(dir).open(), 'and the right one still does')
})

t.test('a TPM is used where the machine has one, beside the key of the installation', async (t) => {
  const asked: string[] = []
  const run = async (args: readonly string[]): Promise<Answer> => {
    asked.push(args.join(' '))
    return { code: 0, stdout: Buffer.from('sealed'), stderr: '' }
  }
  await provider(t.testdir(), { run }).create()
  t.match(asked[1], /^encrypt --with-key=host\+tpm2 --name=agent-anchor-vault - -$/)
})

t.test('a machine without systemd-creds says so', async (t) => {
  const run = async (): Promise<Answer> => ({ code: undefined, stdout: Buffer.alloc(0), stderr: 'ENOENT' })
  t.match(await provider(t.testdir(), { run }).unavailable(), /no systemd-creds/)
})

t.test('auto takes it where systemd runs, and the host key elsewhere', async (t) => {
  const dir = t.testdir()
  for (const [systemdRuns, level] of [
    [true, 'systemd-creds'],
    [false, 'host-key'],
  ] as const) {
    const keysDirectory = join(dir, level)
    mkdirSync(keysDirectory)
    const settings = { provider: 'auto' as const, hostKeyFile: join(dir, 'host.key') }
    const place = { settings, keysDirectory, secrets: secretSource({}), ownership, systemdRuns }
    t.equal((await openVault(place, { make: true })).level, level)
  }
})
