/**
 * Trust stores against the real tools: p11-kit, of which RHEL, Arch and SUSE make their bundles; keytool with a JDK
 * that has a keystore of its own; certutil and a Chromium that takes our certificate by its policy, or by its user's
 * database. In a mount namespace of its own, with /etc and the module's configuration as copies: the machine's own
 * stores are never touched, and traffic stays on loopback.
 */
import { spawn, spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createAuthority } from '../../ca/authority.ts'
import { issueLeaf } from '../../ca/leaf.ts'
import { certificateBlocks } from '../../ca/system-roots.ts'
import type { StoreOptions } from '../../ca/trust-stores/anchor-store.ts'
import { archTrustStore } from '../../ca/trust-stores/arch.ts'
import { chromiumPolicyStore } from '../../ca/trust-stores/chromium-policy.ts'
import { javaTrustStore } from '../../ca/trust-stores/java.ts'
import { nssTrustStore } from '../../ca/trust-stores/nss.ts'
import { rhelTrustStore } from '../../ca/trust-stores/rhel.ts'
import { type RunCommand, runCommand } from '../../ca/trust-stores/run-command.ts'
import { suseTrustStore } from '../../ca/trust-stores/suse.ts'
import type { TrustStore } from '../../ca/trust-stores/trust-store.ts'

const INSIDE = 'AGENT_ANCHOR_TEST_INSIDE'
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'
const MODULES = '/usr/share/p11-kit/modules'
if (process.env[INSIDE] === undefined) runInPrivateMounts()

const now = new Date()
const NAME = 'api.provider.example'
const [authority, successor] = await Promise.all(
  ['provider.example', 'provider.example'].map((domain) =>
    createAuthority({ permittedDomains: [domain], now }),
  ),
)
const ours = authority!.certificatePem
const both = [ours, successor!.certificatePem]
const scratch = mkdtempSync(join(tmpdir(), 'trust-stores-'))
t.teardown(() => rmSync(scratch, { recursive: true, force: true }))

/** As the distributions build p11-kit: where it looks for anchors, and what their tool has it write. */
const P11_KIT: Record<
  string,
  { store: (options: StoreOptions) => TrustStore; source: string; bundle: string }
> = {
  rhel: {
    store: rhelTrustStore,
    source: 'etc/pki/ca-trust/source',
    bundle: 'etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  },
  arch: {
    store: archTrustStore,
    source: 'etc/ca-certificates/trust-source',
    bundle: 'etc/ca-certificates/extracted/tls-ca-bundle.pem',
  },
  suse: {
    store: suseTrustStore,
    source: 'etc/pki/trust',
    bundle: 'var/lib/ca-certificates/ca-bundle.pem',
  },
}

for (const [name, { store: storeOf, source, bundle }] of Object.entries(P11_KIT)) {
  t.test(
    `${name}: p11-kit takes our anchors for roots of TLS servers, and no longer after the uninstall`,
    async (t) => {
      const root = join(scratch, name)
      for (const path of [join(source, 'anchors'), join(bundle, '..')])
        mkdirSync(join(root, path), { recursive: true })
      cpSync('/etc/ssl/certs/ca-certificates.crt', join(root, source, 'anchors/theirs.pem'))
      const file = join(MODULES, 'p11-kit-trust.module')
      const module = readFileSync(file, 'utf8')
      writeFileSync(
        file,
        module.replace(/^x-init-reserved:.*$/m, `x-init-reserved: paths='${join(root, source)}'`),
      )
      t.teardown(() => writeFileSync(file, module))
      const extract: RunCommand = () =>
        runCommand('trust', [
          ...['extract', '--format=pem-bundle', '--filter=ca-anchors', '--purpose=server-auth'],
          ...['--overwrite', '--comment', join(root, bundle)],
        ])
      await extract('', [])
      const before = readFileSync(join(root, bundle), 'latin1')
      t.ok(before.length > 100_000, 'the roots of the distribution')
      const store = storeOf({ root, run: extract })
      t.equal(await store.check([ours]), 'absent')
      await store.install([ours])
      t.equal(await store.check([ours]), 'trusted')
      await store.install(both)
      t.equal(await store.check(both), 'trusted')
      await store.uninstall()
      t.equal(await store.check([ours]), 'absent')
      t.equal(readFileSync(join(root, bundle), 'latin1'), before)
    },
  )
}

const KEYTOOL = realpathSync('/usr/bin/keytool')

/** The certificates that Java itself takes for roots, in that keystore. */
function keystoreEntries(keystore: string): string[] {
  const { status, stdout } = spawnSync(KEYTOOL, ['-list', '-keystore', keystore, '-storepass', 'changeit'], {
    encoding: 'utf8',
    env: { PATH, LC_ALL: 'C' },
  })
  if (status !== 0) throw new Error(stdout)
  return stdout.match(/^\S+(?=, .*trustedCertEntry)/gm) ?? []
}

t.test('Java: keytool puts ours into a JDK’s own keystore, and the uninstall restores it', async (t) => {
  const jdk = join(scratch, 'opt/jdk')
  mkdirSync(join(jdk, 'bin'), { recursive: true })
  mkdirSync(join(jdk, 'lib/security'), { recursive: true })
  writeFileSync(join(jdk, 'bin/keytool'), `#!/bin/sh\nexec ${KEYTOOL} "$@"\n`, { mode: 0o755 })
  const cacerts = join(jdk, 'lib/security/cacerts')
  const theirs = join(scratch, 'theirs.pem')
  const [root] = certificateBlocks(readFileSync('/etc/ssl/certs/ca-certificates.crt', 'latin1'))
  writeFileSync(theirs, root!)
  await runCommand(KEYTOOL, [
    ...['-importcert', '-noprompt', '-alias', 'a-root', '-file', theirs],
    ...['-keystore', cacerts, '-storepass', 'changeit'],
  ])
  const before = readFileSync(cacerts)
  const store = javaTrustStore('/opt/jdk', { root: scratch })
  await store.install(both)
  t.same(keystoreEntries(cacerts).sort(), ['a-root', 'agent-anchor-gateway', 'agent-anchor-gateway-2'])
  t.equal(await store.check(both), 'trusted')
  await store.uninstall()
  t.strictSame(readFileSync(cacerts), before)
  t.same(readdirSync(join(jdk, 'lib/security')), ['cacerts'])
})

const page = await servePage()
t.teardown(() => page.close())

t.test('Chromium: trusts by the policy, and no longer after the uninstall', async (t) => {
  const store = chromiumPolicyStore('chromium')
  t.notMatch(await browse(), 'the page')
  await store.install([ours])
  t.match(await browse(), 'the page')
  await store.uninstall()
  t.notMatch(await browse(), 'the page')
})

t.test('Chromium: trusts by its user’s NSS database, and no longer after the uninstall', async (t) => {
  const home = join(scratch, 'home')
  const database = join(home, '.pki/nssdb')
  mkdirSync(database, { recursive: true })
  await runCommand('certutil', ['-N', '--empty-password', '-d', `sql:${database}`])
  const run: RunCommand = (command, args, options) =>
    command === 'getent'
      ? Promise.resolve(`browsing:x:0:0::${home}:/bin/sh\n`)
      : runCommand(command, args, options)
  const store = nssTrustStore('browsing', { run })
  await store.install([ours])
  t.match(await browse(home), 'the page')
  await store.uninstall()
  t.notMatch(await browse(home), 'the page')
})

async function servePage() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const cert = await issueLeaf(authority!, {
    name: NAME,
    publicKeySpki: publicKey.export({ type: 'spki', format: 'der' }),
    now,
  })
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' })
  const server = createServer({ key, cert }, (_, response) => response.end('<p>the page</p>'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { port, close: () => server.close() }
}

/** What Chromium makes of our page: its document. */
function browse(home = join(scratch, `browser-${process.hrtime.bigint()}`)): Promise<string> {
  mkdirSync(home, { recursive: true })
  const child = spawn(
    '/usr/bin/chromium',
    [
      ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
      ...[`--user-data-dir=${home}/chromium`, `--host-resolver-rules=MAP ${NAME} 127.0.0.1`],
      ...['--dump-dom', `https://${NAME}:${page.port}/`],
    ],
    {
      env: { PATH, HOME: home, LC_ALL: 'C' },
      cwd: '/',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 60_000,
    },
  )
  return new Promise((resolve, reject) => {
    let document = ''
    child.stdout.on('data', (chunk: Buffer) => {
      document += chunk.toString()
    })
    child.on('error', reject)
    child.on('close', (status, signal) => {
      if (status === 0) resolve(document)
      else reject(new Error(`chromium ended with ${signal ?? status}`))
    })
  })
}

function runInPrivateMounts(): never {
  const copies = mkdtempSync(join(tmpdir(), 'trust-stores-'))
  const script = `set -eu
    copies=$1; shift
    mount -t tmpfs -o mode=0755 tmpfs "$copies"
    mkdir "$copies/etc" "$copies/modules"
    cp -a /etc/. "$copies/etc"
    cp -a ${MODULES}/. "$copies/modules"
    mount --bind "$copies/etc" /etc
    mount --bind "$copies/modules" ${MODULES}
    exec "$@"`
  const tapVariables = Object.entries(process.env).filter(([name]) => name.startsWith('TAP'))
  const inside = ['/bin/sh', '-c', script, 'sh', copies, process.execPath, fileURLToPath(import.meta.url)]
  const { status } = spawnSync('unshare', ['--mount', '--propagation', 'private', '--', ...inside], {
    env: { ...Object.fromEntries(tapVariables), PATH, [INSIDE]: '1' },
    stdio: 'inherit',
  })
  rmSync(copies, { recursive: true })
  process.exit(status ?? 1)
}
