import { existsSync, readFileSync, statSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { clientEnvironment } from '../../ca/client-environment.ts'
import { environmentDSink } from '../../ca/environment-sinks/environment-d.ts'
import { systemdDefaultSink } from '../../ca/environment-sinks/systemd-default.ts'

const CERTIFICATE = '/usr/local/share/ca-certificates/agent-anchor-gateway.crt'
const BUNDLE = '/etc/ssl/certs/ca-certificates.crt'
const variables = clientEnvironment({ certificateFile: CERTIFICATE, bundleFile: BUNDLE })
const SYSTEM_CONF = 'etc/systemd/system.conf'
const OURS = 'etc/systemd/system.conf.d/00-agent-anchor-gateway.conf'

/** A machine with systemd and these files, what it was told to run, and the two sinks. */
async function machine(t: Test, files: Record<string, string> = {}) {
  const root = t.testdir({ etc: { systemd: {} }, run: { systemd: { system: {} } } })
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
  }
  const commands: string[] = []
  const run = async (...words: string[]) => {
    commands.push(words.join(' '))
    return ''
  }
  const read = (path: string) => readFileSync(join(root, path), 'utf8')
  const services = systemdDefaultSink({ variables, run, root })
  return { root, commands, read, services, users: environmentDSink({ variables, root }) }
}

t.test(
  'services get the variables, systemd is told, and uninstall leaves neither file nor directory',
  async (t) => {
    const { root, commands, read, services } = await machine(t)
    t.same(await services.check(), { state: 'absent', kept: [] })
    t.same(await services.install(), { state: 'set', kept: [] })
    t.match(read(OURS), `[Manager]\nDefaultEnvironment=NODE_EXTRA_CA_CERTS=${CERTIFICATE}\n`)
    t.match(read(OURS), `\nDefaultEnvironment=SSL_CERT_FILE=${BUNDLE}\n`)
    t.same(commands, ['systemctl daemon-reload'])
    await services.install()
    t.equal(commands.length, 1, 'a second install changes nothing and tells nobody')
    await services.uninstall()
    t.notOk(existsSync(join(root, dirname(OURS))))
    t.equal(commands.length, 2)
    await services.uninstall()
    t.equal(commands.length, 2)
  },
)

t.test('a directory that was there stays, and one that somebody else uses by now', async (t) => {
  const there = await machine(t, { 'etc/systemd/system.conf.d/mine.conf': '[Manager]\n' })
  await there.services.install()
  await there.services.uninstall()
  t.ok(existsSync(join(there.root, 'etc/systemd/system.conf.d/mine.conf')))
  const later = await machine(t)
  await later.services.install()
  await writeFile(join(later.root, 'etc/systemd/system.conf.d/mine.conf'), '')
  await later.services.uninstall()
  t.notOk(existsSync(join(later.root, OURS)))
  t.ok(existsSync(join(later.root, 'etc/systemd/system.conf.d/mine.conf')))
})

t.test('directories that are made can be read by all under any umask', async (t) => {
  const umask = process.umask(0o077)
  t.teardown(() => process.umask(umask))
  const { root, services } = await machine(t)
  await services.install()
  t.equal(statSync(join(root, dirname(OURS))).mode & 0o777, 0o755)
})

t.test('a DefaultEnvironment of the user’s stays, wherever it stands and however it is quoted', async (t) => {
  const { read, services } = await machine(t, {
    [SYSTEM_CONF]: `[Manager]\n#DefaultEnvironment=PIP_CERT=/comment\nDefaultEnvironment="SSL_CERT_FILE=/etc/my roots.pem" A=1 \\\n  AWS_CA_BUNDLE=/aws.pem\n[Other]\nDefaultEnvironment=PIP_CERT=/other\n`,
    'etc/systemd/system.conf.d/50-mine.conf': `[Manager]\nDefaultEnvironment='REQUESTS_CA_BUNDLE=/r.pem'\n`,
    'usr/lib/systemd/system.conf.d/50-mine.conf': '[Manager]\nDefaultEnvironment=CARGO_HTTP_CAINFO=/masked\n',
  })
  const { kept } = await services.install()
  t.same(Object.fromEntries(kept.map(({ name, theirs }) => [name, theirs])), {
    SSL_CERT_FILE: '/etc/my roots.pem',
    AWS_CA_BUNDLE: '/aws.pem',
    REQUESTS_CA_BUNDLE: '/r.pem',
  })
  t.match(kept.find(({ name }) => name === 'AWS_CA_BUNDLE')?.remedy, `Append ${CERTIFICATE} to /aws.pem`)
  t.notMatch(read(OURS), /SSL_CERT_FILE|AWS_CA_BUNDLE|REQUESTS_CA_BUNDLE/)
  t.match(read(OURS), 'PIP_CERT')
  t.match(read(OURS), 'CARGO_HTTP_CAINFO')
})

t.test('a later file that empties DefaultEnvironment is named, with what must be set there', async (t) => {
  const { services } = await machine(t, {
    'etc/systemd/system.conf.d/50-mine.conf': `[Manager]\nDefaultEnvironment=\nDefaultEnvironment=SSL_CERT_FILE=${BUNDLE}\n`,
  })
  const { kept } = await services.install()
  t.equal(kept.length, variables.length - 1, 'all but the one that it sets itself')
  t.match(kept[0]?.remedy, /50-mine\.conf empties DefaultEnvironment=.*set NODE_EXTRA_CA_CERTS=/)
  const early = await machine(t, { [SYSTEM_CONF]: '[Manager]\nDefaultEnvironment=\n' })
  t.same((await early.services.install()).kept, [], 'what is emptied before us is no matter')
})

t.test('a value that the user sets later makes it stale, and install gives way', async (t) => {
  const { root, read, services } = await machine(t)
  await services.install()
  await writeFile(join(root, SYSTEM_CONF), '[Manager]\nDefaultEnvironment=PIP_CERT=/p.pem\n')
  t.equal((await services.check()).state, 'stale')
  await services.install()
  t.notMatch(read(OURS), 'PIP_CERT')
  t.equal((await services.check()).state, 'set')
})

t.test('users’ services get them where the session has none of its own', async (t) => {
  const { root, read, users } = await machine(t, {
    'etc/environment.d/10-mine.conf': 'SSL_CERT_FILE=/mine.pem\n',
    'usr/lib/environment.d/20-theirs.conf': `PIP_CERT=${BUNDLE}\n`,
  })
  const { kept } = await users.install()
  t.same(
    kept.map(({ name }) => name),
    ['SSL_CERT_FILE'],
  )
  const text = read('etc/environment.d/00-agent-anchor-gateway.conf')
  t.match(text, `NODE_EXTRA_CA_CERTS=\${NODE_EXTRA_CA_CERTS:-${CERTIFICATE}}\n`)
  t.notMatch(text, /SSL_CERT_FILE|PIP_CERT/)
  await users.uninstall()
  t.ok(existsSync(join(root, 'etc/environment.d')))
  t.notOk(existsSync(join(root, 'etc/environment.d/00-agent-anchor-gateway.conf')))
})

t.test(
  'without systemd nothing is written, and what was written when it ran can be taken away',
  async (t) => {
    const root = t.testdir({ etc: { systemd: {} } })
    for (const sink of [
      environmentDSink({ variables, root }),
      systemdDefaultSink({ variables, run: async () => '', root }),
    ]) {
      t.same(await sink.check(), { state: 'unsupported', kept: [] })
      t.same(await sink.install(), { state: 'unsupported', kept: [] })
      await sink.uninstall()
    }
    t.notOk(existsSync(join(root, 'etc/environment.d')))
  },
)
