import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { CaError } from '../../ca/ca-error.ts'
import type { RunCommand } from '../../ca/trust-stores/run-command.ts'
import type { TrustState, TrustStore } from '../../ca/trust-stores/trust-store.ts'
import type { ManifestEntry } from '../../installers/manifest.ts'
import { systemTrustStore } from '../../installers/system-family.ts'
import { machineTrustStore, machineTrustStores, trustStore } from '../../installers/trust.ts'
import { outcomeLines, trustEverywhere } from '../../installers/trust-everywhere.ts'
import { OURS } from './trust-store-fixture.ts'

/** The os-release(5) of these systems, as they ship it. */
const SYSTEMS: Record<string, string> = {
  'ID=debian\nVERSION_ID="13"': 'debian',
  'ID=ubuntu\nID_LIKE=debian': 'debian',
  'ID=linuxmint\nID_LIKE="ubuntu debian"': 'debian',
  'ID=fedora': 'rhel',
  'ID="rhel"\nID_LIKE="fedora"': 'rhel',
  'ID="rocky"\nID_LIKE="rhel centos fedora"': 'rhel',
  'ID="amzn"\nID_LIKE="fedora"': 'rhel',
  'ID=arch': 'arch',
  'ID=manjaro\nID_LIKE=arch': 'arch',
  'ID="opensuse-leap"\nID_LIKE="suse opensuse"': 'suse',
  'ID="sles"\nID_LIKE="suse"': 'suse',
  'ID=alpine': 'alpine',
  'ID=nixos': 'nixos',
}

t.test('the operating system’s store is that of its family', async (t) => {
  for (const [text, name] of Object.entries(SYSTEMS)) {
    const root = t.testdir({ etc: { 'os-release': `NAME="Some System"\n${text}\n` } })
    t.equal(systemTrustStore({ root }, 'linux')?.name, name, text)
  }
  const elsewhere = t.testdir({ usr: { lib: { 'os-release': 'ID=arch\n' } } })
  t.equal(systemTrustStore({ root: elsewhere }, 'linux')?.name, 'arch')
  t.equal(systemTrustStore({ root: t.testdir({}) }, 'darwin')?.name, 'macos')
})

t.test('a system of no known family is told so', async (t) => {
  const root = t.testdir({ etc: { 'os-release': 'ID=haiku\nIDEAL=debian\nNAME="ID=debian"\n' } })
  t.throws(() => machineTrustStore({ root }), { code: 'UNSUPPORTED_TRUST_STORE', remedy: /ID_LIKE/ })
  t.throws(() => machineTrustStore({ root: t.testdir({}) }), { code: 'UNSUPPORTED_TRUST_STORE' })
})

t.test('all stores of a machine are found: system, browser, JDK, user', async (t) => {
  const root = t.testdir({
    etc: { 'os-release': 'ID=debian\n', chromium: {} },
    opt: { 'jdk-21': { lib: { security: { cacerts: '' } } }, google: { chrome: {} } },
  })
  const home = join(root, 'home/alice')
  mkdirSync(join(home, '.pki/nssdb'), { recursive: true })
  writeFileSync(join(home, '.pki/nssdb/cert9.db'), '')
  const run: RunCommand = async (command) => {
    if (command === 'getent') {
      return `root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\nalice:x:1000:1000::${home}:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\n`
    }
    return ''
  }
  const asAlice: RunCommand = async (command, args, options) =>
    options?.as?.home === home ? `${home}/.pki/nssdb\n` : run(command, args, options)
  const stores = await machineTrustStores({ root, run: asAlice })
  t.same(
    stores.map(({ name }) => name),
    ['debian', 'policy:chromium', 'policy:chrome', 'java:/opt/jdk-21', 'nss:alice'],
  )
})

t.test('each name that a manifest keeps leads back to its store', async (t) => {
  for (const name of ['java:/opt/jdk-21', 'nss:alice', 'policy:brave', machineTrustStore().name])
    t.equal(trustStore(name).name, name)
  for (const name of ['java:opt', 'policy:netscape', 'plan9', ''])
    t.throws(() => trustStore(name), { code: 'UNSUPPORTED_TRUST_STORE' }, name)
})

/** A store that fails where it is told to. */
function store(name: string, state: TrustState, error?: Error): TrustStore & { installs: number } {
  const fake = {
    name,
    where: `/where/${name}`,
    system: name === 'debian',
    installs: 0,
    check: async () => state,
    install: async () => {
      fake.installs++
      if (error) throw error
    },
    uninstall: async () => {},
  }
  return fake
}

t.test('a browser or JDK that can’t be changed is told; all others trust', async (t) => {
  const steps: ManifestEntry[] = []
  const manifest = { add: async (step: ManifestEntry) => void steps.push(step) }
  const error = new CaError('trust-store-refresh-failed', 'a password', 'Type it.')
  const stores = [store('debian', 'trusted'), store('nss:a', 'absent', error), store('java:/b', 'stale')]
  const outcomes = await trustEverywhere(stores, [OURS], manifest)
  t.same(
    outcomes.map(({ result }) => result),
    ['kept', 'failed', 'installed'],
  )
  t.same(
    stores.map(({ installs }) => installs),
    [0, 1, 1],
  )
  t.same(
    steps.map((step) => step.kind === 'trust-store' && step.name),
    ['debian', 'nss:a', 'java:/b'],
  )
  t.same(outcomes.flatMap(outcomeLines), [
    'debian: /where/debian',
    'nss:a does NOT trust the gateway: a password',
    '  Type it.',
    'java:/b: /where/java:/b',
  ])
})

t.test('without the operating system’s store nothing is gone on with', async (t) => {
  const error = new CaError('trust-store-refresh-failed', 'read-only', 'Mount it.')
  const browser = store('nss:a', 'absent')
  await t.rejects(
    trustEverywhere([store('debian', 'absent', error), browser], [OURS], { add: async () => {} }),
    {
      code: 'trust-store-refresh-failed',
    },
  )
  t.equal(browser.installs, 0)
})
