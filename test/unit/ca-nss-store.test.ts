/** The databases of a user, by the real certutil(1) as the real user: their own files, in the real places. */
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { nssDatabases, nssTrustStore } from '../../ca/trust-stores/nss.ts'
import { type RunCommand, runCommand } from '../../ca/trust-stores/run-command.ts'
import { scratch } from './scratch.ts'
import { OURS, SUCCESSOR } from './trust-store-fixture.ts'

/** Nobody of this machine's: what belongs to it can't be mistaken for root's. */
const UID = 54_321
const CHROMIUM = '.pki/nssdb'
const FIREFOX = '.mozilla/firefox/abcd1234.default-esr'

/** A home of somebody who isn't root, with databases in these places, and a passwd that knows them. */
function home(databases: readonly string[]) {
  // Not in the tree of the project, which others than root may not be let into.
  const path = scratch()
  chownSync(path, UID, UID)
  const calls: { command: string; uid: number | undefined }[] = []
  const run: RunCommand = (command, args, options) => {
    calls.push({ command, uid: options?.as?.uid })
    if (command === 'getent') return Promise.resolve(`alice:x:${UID}:${UID}:Alice:${path}:/bin/bash\n`)
    return runCommand(command, args, options)
  }
  for (const database of databases) makeDatabase(join(path, database))
  return { path, calls, run, store: nssTrustStore('alice', { run }) }
}

function makeDatabase(path: string, password?: string): void {
  asUser('mkdir', '-p', path)
  const file = join(path, 'password')
  if (password !== undefined) writeFileSync(file, `${password}\n`, { mode: 0o644 })
  asUser(
    'certutil',
    '-N',
    '-d',
    `sql:${path}`,
    ...(password === undefined ? ['--empty-password'] : ['-f', file]),
  )
}

function asUser(command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, {
    uid: UID,
    gid: UID,
    cwd: '/',
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`${command}: ${stderr}`)
  return stdout
}

const listed = (path: string) =>
  asUser('certutil', '-L', '-d', `sql:${path}`).match(/^Agent Anchor.*$/gm) ?? []

t.test('install puts the certificate into each database, uninstall takes it out of each', async (t) => {
  const places = [
    CHROMIUM,
    FIREFOX,
    'snap/chromium/current/.pki/nssdb',
    'snap/firefox/common/.mozilla/firefox/x.default',
    '.var/app/org.chromium.Chromium/.pki/nssdb',
    '.var/app/org.mozilla.firefox/.mozilla/firefox/y.default',
  ]
  const { path, calls, run, store } = home(places)
  t.same(
    (await nssDatabases({ name: 'alice', uid: UID, gid: UID, home: path }, run)).sort(),
    places.map((place) => join(path, place)).sort(),
  )
  t.equal(await store.check([OURS]), 'absent')
  await store.install([OURS])
  for (const place of places)
    t.match(listed(join(path, place)), [/^Agent Anchor Gateway CA [0-9a-f]{8}\s+C,,/])
  t.equal(await store.check([OURS]), 'trusted')
  calls.length = 0
  await store.install([OURS])
  t.same(
    calls.filter(({ uid, command }) => uid !== UID && command !== 'getent'),
    [],
    'all as the user',
  )
  await store.uninstall()
  for (const place of places) t.same(listed(join(path, place)), [])
  t.equal(await store.check([OURS]), 'absent')
})

t.test('while the authority is changed both are there, then the successor alone', async (t) => {
  const { path, store } = home([CHROMIUM])
  await store.install([OURS])
  t.equal(await store.check([OURS, SUCCESSOR]), 'stale')
  await store.install([OURS, SUCCESSOR])
  t.equal(await store.check([OURS, SUCCESSOR]), 'trusted')
  t.equal(listed(join(path, CHROMIUM)).length, 2)
  await store.install([SUCCESSOR])
  t.equal(await store.check([SUCCESSOR]), 'trusted')
})

t.test('trust that the user took away is stale, and a database added later too', async (t) => {
  const { path, store } = home([CHROMIUM])
  await store.install([OURS])
  const [line] = listed(join(path, CHROMIUM))
  asUser(
    'certutil',
    '-M',
    '-t',
    ',,',
    '-n',
    line!.replace(/\s+C,,.*$/, ''),
    '-d',
    `sql:${join(path, CHROMIUM)}`,
  )
  t.equal(await store.check([OURS]), 'stale')
  makeDatabase(join(path, FIREFOX))
  await store.install([OURS])
  t.equal(await store.check([OURS]), 'trusted')
})

t.test('a database with a password is told, and does not keep the others from trusting', async (t) => {
  const { path, store } = home([CHROMIUM])
  makeDatabase(join(path, FIREFOX), 'secret')
  await t.rejects(store.install([OURS]), {
    code: 'trust-store-refresh-failed',
    message: /firefox.*could not be read or changed/,
    remedy: /^As alice: certutil -A/,
  })
  t.equal(listed(join(path, CHROMIUM)).length, 1)
  await store.uninstall()
  t.same(listed(join(path, CHROMIUM)), [])
})

t.test('a link to what the user may not write changes nothing there', async (t) => {
  const { path, store } = home([])
  const roots = scratch()
  const made = spawnSync('certutil', ['-N', '--empty-password', '-d', `sql:${roots}`])
  t.equal(made.status, 0)
  chmodSync(roots, 0o755)
  for (const file of ['cert9.db', 'key4.db', 'pkcs11.txt']) chmodSync(join(roots, file), 0o644)
  mkdirSync(dirname(join(path, CHROMIUM)))
  symlinkSync(roots, join(path, CHROMIUM))
  await t.rejects(store.install([OURS]), { code: 'trust-store-refresh-failed' })
  const { stdout } = spawnSync('certutil', ['-L', '-d', `sql:${roots}`], { encoding: 'utf8' })
  t.notMatch(stdout, /Agent Anchor/)
})

t.test('no database, no user, no certutil', async (t) => {
  const { path, store, run } = home([])
  t.equal(await store.check([OURS]), 'unsupported')
  await t.rejects(store.install([OURS]), { code: 'trust-store-unsupported' })
  t.notOk(existsSync(join(path, '.pki')), 'none is made')
  await store.uninstall()
  t.equal(await nssTrustStore('bob', { run }).check([OURS]), 'unsupported')
  await nssTrustStore('bob', { run }).uninstall()
  makeDatabase(join(path, CHROMIUM))
  const without: RunCommand = (command, args, options) =>
    run(command === 'certutil' ? '/nonexistent/certutil' : command, args, options)
  await t.rejects(nssTrustStore('alice', { run: without }).install([OURS]), {
    code: 'trust-store-tool-missing',
    remedy: /libnss3-tools/,
  })
})
