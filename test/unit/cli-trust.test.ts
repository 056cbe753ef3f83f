import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { CaError } from '../../ca/ca-error.ts'
import { CLIENT_RUNTIMES } from '../../ca/client-runtimes.ts'
import type { EnvironmentCheck } from '../../ca/environment-sinks/environment-sink.ts'
import type { RunCommand } from '../../ca/trust-stores/run-command.ts'
import type { TrustState, TrustStore } from '../../ca/trust-stores/trust-store.ts'
import { exitCode, type Listed, listedText } from '../../cli/trust/list.ts'
import { findPrograms } from '../../cli/trust/programs.ts'
import { runtimeRows } from '../../cli/trust/runtimes.ts'
import { certificatesToTrust, type StoreRow, storeRows } from '../../cli/trust/store-rows.ts'
import { OURS, SUCCESSOR } from './trust-store-fixture.ts'

const SET: EnvironmentCheck = { state: 'set', kept: [] }
const row = (store: string, state: StoreRow['state'] = 'trusted'): StoreRow => ({
  store,
  where: `/${store}`,
  system: store === 'debian',
  state,
  ...(state === 'trusted' ? {} : { remedy: `mend ${store}` }),
})
const at = (path: string, user?: string) => ({ path, real: path, ...(user === undefined ? {} : { user }) })
const rowsOf = (
  path: string,
  stores: StoreRow[],
  environment: EnvironmentCheck | undefined = SET,
  user?: string,
) => runtimeRows([at(path, user)], stores, environment)[0]

t.test('a runtime with roots of its own is trusted where its variable stands', async (t) => {
  t.match(rowsOf('/usr/bin/node', []), {
    runtime: 'Node',
    state: 'trusted',
    learnsFrom: ['NODE_EXTRA_CA_CERTS'],
  })
  const absent: EnvironmentCheck = { state: 'absent', kept: [] }
  t.match(rowsOf('/usr/bin/python3.11', [row('debian')], absent), { state: 'absent', remedy: /install\.sh/ })
  t.match(runtimeRows([at('/usr/bin/deno')], [], undefined), [{ state: 'unknown' }])
  const theirs = { name: 'NODE_EXTRA_CA_CERTS', theirs: '/own.pem', remedy: 'Append ours to /own.pem' }
  t.match(rowsOf('/usr/bin/bun', [], { state: 'set', kept: [theirs] }), {
    state: 'stale',
    remedy: theirs.remedy,
  })
  t.match(
    rowsOf('/usr/bin/deno', [], { state: 'set', kept: [theirs] }),
    { state: 'trusted' },
    'not its variable',
  )
})

t.test('what reads the system’s store is as that is', async (t) => {
  for (const program of ['curl', 'git', 'go', 'ruby', 'php8.2', 'perl', 'wget'])
    t.match(rowsOf(`/usr/bin/${program}`, [row('debian', 'stale')]), {
      state: 'stale',
      remedy: 'mend debian',
    })
})

t.test('a Java reads the keystore of its JDK, and the distribution’s the system’s', async (t) => {
  const stores = [row('debian'), row('java:/opt/jdk-21', 'absent')]
  t.match(rowsOf('/opt/jdk-21/bin/java', stores), { state: 'absent', learnsFrom: ['java:/opt/jdk-21'] })
  t.match(rowsOf('/usr/lib/jvm/java-17/bin/java', stores), { state: 'trusted', learnsFrom: ['debian'] })
})

t.test('a browser reads the policy or its user’s database, never the system’s store', async (t) => {
  const stores = [row('debian'), row('policy:chromium', 'absent'), row('nss:alice')]
  t.match(rowsOf('/usr/bin/chromium', stores), { state: 'trusted', learnsFrom: ['nss:alice'] })
  t.match(rowsOf('/usr/bin/firefox-esr', [row('debian')]), { state: 'absent', remedy: /Start it once/ })
  t.match(rowsOf('/home/bob/.local/bin/firefox', stores, SET, 'bob'), { state: 'absent' }, 'not with alice’s')
})

t.test('what is no runtime is no row', async (t) => {
  t.same(runtimeRows([at('/usr/bin/ls'), at('/usr/bin/nodemon'), at('/usr/bin/git-shell')], [], SET), [])
})

t.test('a store that can’t be looked at is a row too, with the reason', async (t) => {
  const store = (name: string, check: () => Promise<TrustState>): TrustStore => ({
    ...{ name, where: name, system: false, check },
    install: async () => {},
    uninstall: async () => {},
  })
  const error = new CaError('trust-store-tool-missing', 'certutil was not found', 'Install it.')
  const rows = await storeRows(
    [
      store('a', async () => 'trusted'),
      store('b', async () => 'stale'),
      store('c', () => Promise.reject(error)),
    ],
    [OURS],
  )
  t.match(rows, [
    { store: 'a', state: 'trusted', remedy: undefined },
    { store: 'b', state: 'stale', remedy: /trust install/ },
    { store: 'c', state: 'unknown', detail: 'certutil was not found', remedy: 'Install it.' },
  ])
})

t.test('the exit code says whether all trust, and whether the system does', async (t) => {
  const listed = (...stores: StoreRow[]): Listed => ({ stores, runtimes: [], unseen: [] })
  t.equal(exitCode(listed(row('debian'), row('nss:a'))), 0)
  t.equal(exitCode(listed(row('debian'), row('nss:a', 'absent'))), 4)
  t.equal(exitCode(listed(row('debian', 'stale'), row('nss:a'))), 1)
  const runtimes = runtimeRows([at('/usr/bin/node')], [], { state: 'absent', kept: [] })
  t.equal(exitCode({ ...listed(row('debian')), runtimes }), 4)
})

t.test('the text names each remedy once, and nothing of a hostile path reaches the terminal', async (t) => {
  const stores = [row('debian')]
  const many = Array.from({ length: 7 }, (_, i) => at(`/opt/${i}/bin/node`))
  const runtimes = runtimeRows([...many, at('/home/a/\u001b[31m/node')], stores, {
    state: 'absent',
    kept: [],
  })
  const text = listedText({ stores, runtimes, unseen: ['others'] })
  t.equal(text.match(/install\.sh again/g)?.length, 1)
  t.match(text, '/opt/0/bin/node, /opt/1/bin/node, /opt/2/bin/node, /opt/3/bin/node and 4 more')
  t.match(text, /not seen: others$/)
  t.notMatch(text, '\u001b')
})

t.test('programs are found in PATH and in homes, each once, in the table’s order', async (t) => {
  const root = t.testdir({ bin: {}, home: { '.nvm': { versions: { node: { 'v22.1.0': { bin: {} } } } } } })
  const program = (path: string, text: string) =>
    writeFileSync(path, `#!/bin/sh\necho ${text}\n`, { mode: 0o755 })
  program(join(root, 'bin/curl'), 'curl 8.9.1')
  program(join(root, 'bin/node'), 'v26.1.0')
  symlinkSync('node', join(root, 'bin/nodejs'))
  const nvm = join(root, 'home/.nvm/versions/node/v22.1.0/bin/node')
  program(nvm, 'v22.1.0')
  mkdirSync(join(root, 'shims'))
  program(join(root, 'shims/deno'), 'deno 2.0')
  chmodSync(root, 0o755)
  const run: RunCommand = async (command) =>
    command === 'getent' ? `somebody:x:1234:1234::${root}/home:/bin/sh\n` : `${nvm}\n${root}/home/notes\n`
  const before = process.env.PATH
  t.teardown(() => {
    process.env.PATH = before
  })
  process.env.PATH = `${root}/bin:${root}/shims:relative`
  const found = (await findPrograms(run)).filter(({ path }) => path.startsWith(root))
  t.match(found, [
    { path: join(root, 'bin/node'), version: '26.1.0' },
    { path: nvm, user: 'somebody', version: undefined },
    { path: join(root, 'bin/curl'), version: '8.9.1' },
  ])
  t.equal(found.length, 3)
})

t.test('each program is known by at most one runtime', async (t) => {
  for (const name of ['node', 'python3.11', 'chromium', 'google-chrome', 'java', 'go', 'pip3', 'uvx'])
    t.equal(CLIENT_RUNTIMES.filter(({ program }) => program.test(name)).length, 1, name)
})

t.test('two certificates are trusted while the authority is changed; none is an error', async (t) => {
  const directory = t.testdir({ one: OURS, two: `${OURS}${SUCCESSOR}`, none: '' })
  t.equal((await certificatesToTrust(join(directory, 'one'))).length, 1)
  t.equal((await certificatesToTrust(join(directory, 'two'))).length, 2)
  for (const name of ['none', 'missing'])
    await t.rejects(certificatesToTrust(join(directory, name)), {
      code: 'NO_AUTHORITY',
      remedy: /install\.sh/,
    })
})
