/**
 * The keystore of a vendor's JDK, with a stand-in for its keytool(1): a keystore is JSON here, salted anew at each
 * change as PKCS#12 is. The real one is in test/system/trust-stores.test.ts.
 */

import { randomUUID } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { javaTrustStore, vendorJdks } from '../../ca/trust-stores/java.ts'
import type { RunCommand } from '../../ca/trust-stores/run-command.ts'
import { OURS, SUCCESSOR, SYSTEM_ROOT, treeOf } from './trust-store-fixture.ts'

const CACERTS = 'opt/jdk-21/lib/security/cacerts'

interface Tap {
  testdir(files: Tree): string
}

interface Tree {
  [name: string]: Tree | string
}

interface Keystore {
  readonly password: string
  readonly entries: Record<string, string>
}

const read = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as Keystore
const write = (path: string, { password, entries }: Keystore) =>
  writeFileSync(path, JSON.stringify({ password, entries, salt: randomUUID() }))
const aliases = (path: string) => Object.keys(read(path).entries).filter((alias) => alias !== 'a-root')

/** keytool as the store uses it. */
const keytool: RunCommand = async (command, args) => {
  const value = (option: string) => args[args.indexOf(option) + 1]!
  const path = value('-keystore')
  const { password, entries } = read(path)
  if (value('-storepass') !== password) {
    throw new Error(`${command} ended with status 1: keystore password was incorrect`)
  }
  switch (args[0]) {
    case '-list':
      return Object.entries(entries)
        .map(([alias, pem]) => (args.includes('-rfc') ? pem : `${alias}, Nov 26, 2026, trustedCertEntry, \n`))
        .join('')
    case '-importcert':
      write(path, {
        password,
        entries: { ...entries, [value('-alias')]: readFileSync(value('-file'), 'utf8') },
      })
      return ''
    case '-delete': {
      const { [value('-alias')]: _, ...others } = entries
      write(path, { password, entries: others })
      return ''
    }
    default:
      throw new Error(`keytool knows no ${args[0]}`)
  }
}

/** JDKs in the places of a machine; `bin/keytool` runs the machine's. */
function machine(t: Tap) {
  const calls: string[] = []
  const run: RunCommand = (command, args, options) => {
    calls.push(command)
    return keytool(command, args, options)
  }
  const root = t.testdir({
    opt: {},
    usr: { lib: { jvm: {} } },
    etc: { ssl: { certs: { java: { cacerts: 'Debian' } } } },
  })
  chmodSync(root, 0o755)
  makeJdk(join(root, 'opt/jdk-21'), 'lib/security')
  return { root, calls, store: javaTrustStore('/opt/jdk-21', { root, run }), cacerts: join(root, CACERTS) }
}

function makeJdk(path: string, security: string): void {
  mkdirSync(join(path, 'bin'), { recursive: true })
  mkdirSync(join(path, security), { recursive: true })
  writeFileSync(join(path, 'bin/keytool'), '', { mode: 0o755 })
  write(join(path, security, 'cacerts'), { password: 'changeit', entries: { 'a-root': SYSTEM_ROOT } })
}

t.test('only JDKs with a keystore of their own are found', async (t) => {
  const { root } = machine(t)
  makeJdk(join(root, 'usr/lib/jvm/temurin-8'), 'jre/lib/security')
  symlinkSync('temurin-8', join(root, 'usr/lib/jvm/default-java'))
  makeJdk(join(root, 'usr/lib/jvm/java-17-openjdk'), 'lib/security')
  const distributions = join(root, 'usr/lib/jvm/java-17-openjdk/lib/security/cacerts')
  rmSync(distributions)
  symlinkSync(join(root, 'etc/ssl/certs/java/cacerts'), distributions)
  mkdirSync(join(root, 'opt/other-program'))
  symlinkSync('/', join(root, 'opt/outside'))
  t.same(await vendorJdks(root), ['/opt/jdk-21', '/usr/lib/jvm/temurin-8'])
  const store = javaTrustStore('/usr/lib/jvm/java-17-openjdk', { root })
  t.equal(await store.check([OURS]), 'unsupported')
  await store.uninstall()
  await t.rejects(store.install([OURS]), { code: 'trust-store-refresh-failed' })
})

t.test('install makes it trusted, uninstall restores the file byte for byte', async (t) => {
  const { root, store, cacerts } = machine(t)
  const before = treeOf(root)
  t.equal(await store.check([OURS]), 'absent')
  await store.install([OURS])
  t.same(aliases(cacerts), ['agent-anchor-gateway'])
  t.equal(await store.check([OURS]), 'trusted')
  const installed = treeOf(root)
  await store.install([OURS])
  t.same(treeOf(root), installed, 'idempotent')
  await store.install([OURS, SUCCESSOR])
  t.same(aliases(cacerts), ['agent-anchor-gateway', 'agent-anchor-gateway-2'])
  await store.install([SUCCESSOR])
  t.equal(await store.check([SUCCESSOR]), 'trusted')
  t.equal(readdirSync(dirname(cacerts)).length, 2, 'one file from before, beside the keystore')
  await store.uninstall()
  t.same(treeOf(root), before)
  await store.uninstall()
})

t.test('where others wrote since, only our entry goes', async (t) => {
  const { store, cacerts } = machine(t)
  await store.install([OURS])
  const { password, entries } = read(cacerts)
  write(cacerts, { password, entries: { ...entries, theirs: SYSTEM_ROOT } })
  await store.uninstall()
  t.same(aliases(cacerts), ['theirs'])
  t.same(readdirSync(dirname(cacerts)), ['cacerts'])
})

t.test('a JDK that was upgraded over us is absent or stale, and install mends it', async (t) => {
  const { store, cacerts } = machine(t)
  await store.install([OURS])
  write(cacerts, { password: 'changeit', entries: { 'a-root': SYSTEM_ROOT, 'a-newer-root': SYSTEM_ROOT } })
  const upgraded = readFileSync(cacerts)
  t.equal(await store.check([OURS]), 'stale')
  await store.install([OURS])
  t.equal(await store.check([OURS]), 'trusted')
  await store.uninstall()
  t.strictSame(readFileSync(cacerts), upgraded)
  t.same(readdirSync(dirname(cacerts)), ['cacerts'])
})

t.test('a keystore with another password is told, and left as it was', async (t) => {
  const { root, store, cacerts } = machine(t)
  write(cacerts, { ...read(cacerts), password: 'something' })
  const before = treeOf(root)
  await t.rejects(store.install([OURS]), {
    code: 'trust-store-refresh-failed',
    message: /password was incorrect/,
    remedy: /keytool -importcert/,
  })
  t.same(treeOf(root), before)
})

t.test('root runs no keytool and writes beside no keystore that somebody else can change', async (t) => {
  const { root, calls, store } = machine(t)
  for (const path of ['opt/jdk-21/bin/keytool', 'opt/jdk-21/lib', CACERTS]) {
    chownSync(join(root, path), 54_321, 0)
    await t.rejects(store.install([OURS]), { code: 'trust-store-unsupported', remedy: /As its owner/ }, path)
    chownSync(join(root, path), 0, 0)
  }
  chmodSync(join(root, 'opt/jdk-21'), 0o777)
  await t.rejects(store.check([OURS]), { code: 'trust-store-unsupported' })
  await store.uninstall()
  t.same(calls, [])
})
