/**
 * The trust store and the client environment against the real update-ca-certificates and real clients.
 *
 * Installs a root certificate: so it runs itself in a mount namespace of its own, in which /etc and the
 * anchors are copies on a tmpfs. The machine's own store is never touched; traffic stays on loopback.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash, createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext, createServer } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { AsnConvert } from '@peculiar/asn1-schema'
import { Certificate, GeneralName, id_ce_subjectAltName, SubjectAlternativeName } from '@peculiar/asn1-x509'
import t from 'tap'
import { createAuthority } from '../../ca/authority.ts'
import { distinguishedName, extension, signCertificate } from '../../ca/certificate.ts'
import { clientEnvironment } from '../../ca/client-environment.ts'
import { containerEnvironment } from '../../ca/container-environment.ts'
import { etcEnvironmentSink } from '../../ca/environment-sinks/etc-environment.ts'
import { issueLeaf } from '../../ca/leaf.ts'
import { systemBundlePath, systemRootsWithout } from '../../ca/system-roots.ts'
import { debianTrustStore } from '../../ca/trust-stores/debian.ts'
import { dockerfileText, dockerText, IMAGE_FILES } from '../../cli/environment-text.ts'

const INSIDE = 'AGENT_ANCHOR_TEST_INSIDE'
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'
if (process.env[INSIDE] === undefined) await runInPrivateMounts()

const ANCHOR = '/usr/local/share/ca-certificates/agent-anchor-gateway.crt'
const HOOK_LOG = '/etc/hook-heard'
const GOVERNED = 'api.provider.example'
const FOREIGN = 'www.bank.example'
const UNTRUSTED = /self-signed certificate/
const OUTSIDE = /permitted subtree violation/
const now = new Date()

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
const publicKeySpki = publicKey.export({ type: 'spki', format: 'der' })
const authority = await createAuthority({ permittedDomains: ['provider.example'], now })
const server = await startServer({
  [GOVERNED]: await issueLeaf(authority, { name: GOVERNED, publicKeySpki, now }),
  [FOREIGN]: stolenKeyLeaf(FOREIGN),
})
t.teardown(() => server.close())

appendFileSync('/etc/hosts', `\n127.0.0.1 ${GOVERNED} ${FOREIGN}\n`)
// Java's hook would change dpkg's state; in its place stands one that notes what hooks are told.
for (const name of readdirSync('/etc/ca-certificates/update.d'))
  rmSync(join('/etc/ca-certificates/update.d', name))
writeFileSync('/etc/ca-certificates/update.d/test', `#!/bin/sh\ncat >> ${HOOK_LOG}\n`, { mode: 0o755 })
// So that a store which was out of date before doesn't count as our change.
spawnSync('update-ca-certificates', ['--fresh'], { env: { PATH } })

const before = snapshot('/etc/ssl/certs')
/** The store of an image that was made before there was a gateway. */
const image = mkdtempSync(join(tmpdir(), 'image-'))
t.teardown(() => rmSync(image, { recursive: true }))
spawnSync('cp', ['-a', '/etc/ssl/certs', image], { env: { PATH } })
const store = debianTrustStore()
const variables = clientEnvironment({ certificateFile: ANCHOR, bundleFile: systemBundlePath() })
const environment = etcEnvironmentSink({ variables })
const environmentBefore = existsSync('/etc/environment') ? readFileSync('/etc/environment') : undefined

/** Each connects to `name` and exits with 0 only after a verified handshake and an answer. */
const clients: Record<string, (name: string) => [string, ...string[]]> = {
  curl: (name) => ['/usr/bin/curl', '-sS', '--max-time', '20', url(name)],
  openssl: (name) => [
    '/usr/bin/openssl',
    's_client',
    '-connect',
    `127.0.0.1:${server.port}`,
    '-servername',
    name,
    '-verify_hostname',
    name,
    '-verify_return_error',
    '-brief',
  ],
  python: (name) => [
    '/usr/bin/python3',
    '-I',
    '-c',
    `import urllib.request as u; u.urlopen("${url(name)}", timeout=20).read()`,
  ],
  node: (name) => [
    process.execPath,
    '-e',
    `fetch("${url(name)}").then(r => r.text()).catch(e => { console.log(e.cause.message); process.exit(1) })`,
  ],
}

t.test('before the install every client refuses', async (t) => {
  t.equal(await store.check([authority.certificatePem]), 'absent')
  for (const client of Object.keys(clients)) t.match(await connect(client, GOVERNED, {}), UNTRUSTED)
})

t.test('after it every client trusts, with at most the variables that are installed', async (t) => {
  await store.install([authority.certificatePem])
  t.equal(await store.check([authority.certificatePem]), 'trusted')
  await environment.install()
  for (const client of ['curl', 'openssl', 'python'])
    t.equal(await connect(client, GOVERNED, {}), 'trusted', `${client}, no variable`)
  const installed = installedEnvironment()
  t.equal(installed.NODE_EXTRA_CA_CERTS, ANCHOR)
  for (const client of Object.keys(clients))
    t.equal(await connect(client, GOVERNED, installed), 'trusted', client)
  const { NODE_EXTRA_CA_CERTS } = installed
  t.equal(await connect('node', GOVERNED, { NODE_EXTRA_CA_CERTS: NODE_EXTRA_CA_CERTS ?? '' }), 'trusted')
  t.equal(await connect('node', GOVERNED, { NODE_USE_SYSTEM_CA: '1' }), 'trusted')
})

t.test('every client refuses a name outside the constraints, though our root signed it', async (t) => {
  for (const client of Object.keys(clients))
    t.match(await connect(client, FOREIGN, installedEnvironment()), OUTSIDE)
})

t.test(
  'a container with an image of its own trusts with what `env --format docker` prints, and not without',
  async (t) => {
    const { mounts, variables } = containerEnvironment({
      certificateFile: ANCHOR,
      bundleFile: systemBundlePath(),
    })
    const words = dockerText(mounts, variables).split(' ')
    for (const client of ['curl', 'python', 'node'])
      t.match(await inContainer([], client), UNTRUSTED, `${client}, by itself`)
    for (const client of ['curl', 'python', 'node'])
      t.equal(await inContainer(words, client), 'trusted', `${client}, with the arguments`)
  },
)

t.test('the gateway’s own roots for upstream are the system’s, without ours', async (t) => {
  const bundle = readFileSync(systemBundlePath(), 'latin1')
  t.ok(bundle.includes(authority.certificatePem.trimEnd()))
  const roots = systemRootsWithout([authority.certificatePem])
  t.ok(roots.length > 0)
  const ours = new X509Certificate(authority.certificatePem)
  t.notOk(roots.some((pem) => new X509Certificate(pem).publicKey.equals(ours.publicKey)))
})

t.test('a second install changes nothing, a newer authority replaces the older', async (t) => {
  const installed = snapshot('/etc/ssl/certs')
  await store.install([authority.certificatePem])
  t.same(snapshot('/etc/ssl/certs'), installed)
  const newer = await createAuthority({ permittedDomains: ['provider.example'], now })
  await store.install([newer.certificatePem])
  t.match(await connect('curl', GOVERNED, {}), UNTRUSTED)
  await store.install([authority.certificatePem])
  t.equal(await connect('curl', GOVERNED, {}), 'trusted')
  t.same(snapshot('/etc/ssl/certs'), installed, 'nothing of the newer one is left')
})

t.test('while the authority is changed both are trusted, and each is hashed', async (t) => {
  const newer = await createAuthority({ permittedDomains: ['provider.example'], now })
  await store.install([newer.certificatePem, authority.certificatePem])
  t.equal(await store.check([newer.certificatePem, authority.certificatePem]), 'trusted')
  for (const client of ['curl', 'openssl', 'python'])
    t.equal(await connect(client, GOVERNED, {}), 'trusted', client)
  const hashed = readdirSync('/etc/ssl/certs').filter((name) =>
    /^agent-anchor-gateway(-2)?\.pem$/.test(
      lstatSync(join('/etc/ssl/certs', name)).isSymbolicLink()
        ? readlinkSync(join('/etc/ssl/certs', name))
        : '',
    ),
  )
  t.equal(hashed.length, 2)
})

t.test('after the uninstall every client refuses, and the store is byte for byte as before', async (t) => {
  rmSync(HOOK_LOG, { force: true })
  await environment.uninstall()
  await store.uninstall()
  t.same(snapshot('/etc/ssl/certs'), before)
  t.notOk(existsSync(ANCHOR))
  t.same(existsSync('/etc/environment') ? readFileSync('/etc/environment') : undefined, environmentBefore)
  t.equal(await store.check([authority.certificatePem]), 'absent')
  t.match(readFileSync(HOOK_LOG, 'latin1'), /^-\/etc\/ssl\/certs\/agent-anchor-gateway\.pem$/m)
  for (const client of Object.keys(clients)) t.match(await connect(client, GOVERNED, {}), UNTRUSTED)
})

t.test('an image that is built with the lines of `env --format dockerfile` trusts', async (t) => {
  const text = dockerfileText(authority.certificatePem, clientEnvironment(IMAGE_FILES))
  const [, command = '', assignments = ''] = /\nRUN (.*)\nENV (.*)$/s.exec(text) ?? []
  const built = spawnSync('/bin/sh', ['-euc', command], { env: { PATH }, encoding: 'utf8' })
  t.equal(built.status, 0, built.stderr)
  const env = Object.fromEntries(assignments.split(/[\s\\]+/).map((each) => each.split('=', 2)))
  t.equal(await connect('curl', GOVERNED, {}), 'trusted', 'curl, no variable')
  for (const client of Object.keys(clients)) t.equal(await connect(client, GOVERNED, env), 'trusted', client)
})

function url(name: string): string {
  return `https://${name}:${server.port}/`
}

/** 'trusted', or what the client said when it failed. */
function connect(client: string, name: string, env: Record<string, string>): Promise<string> {
  return runClient(client, clients[client]!(name), env)
}

/** The same in a root of its own with the image's store, given arguments for `docker run`. */
function inContainer(words: readonly string[], client: string): Promise<string> {
  const given = (option: string) =>
    words.flatMap((word, index) => (words[index - 1] === option ? [word] : []))
  const script = `set -eu
    root=$1; shift
    mount --rbind / "$root"
    mount --bind "$IMAGE/certs" "$root/etc/ssl/certs"
    mount -t tmpfs tmpfs "$root/usr/local/share"
    for volume in $VOLUMES; do
      from=\${volume%%:*}; to=\${volume#*:}; to=\${to%:ro}
      mkdir -p "$root\${to%/*}"; : >"$root$to"
      mount --bind "$from" "$root$to"
    done
    exec chroot "$root" env -i $VARIABLES "$@"`
  const root = join(image, 'root')
  mkdirSync(root, { recursive: true })
  return runClient(
    client,
    ['unshare', '--mount', '--', 'sh', '-c', script, 'sh', root, ...clients[client]!(GOVERNED)],
    { PATH, IMAGE: image, VOLUMES: given('-v').join(' '), VARIABLES: given('-e').join(' ') },
  )
}

function runClient(
  client: string,
  [command, ...args]: readonly [string, ...string[]],
  env: Record<string, string>,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 })
    const said: Buffer[] = []
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => said.push(chunk))
    child.on('error', reject)
    child.on('close', (status) => resolve(status === 0 ? 'trusted' : `${client}: ${Buffer.concat(said)}`))
  })
}

async function startServer(chains: Record<string, string>) {
  const contexts = new Map(
    Object.entries(chains).map(([name, cert]) => [name, createSecureContext({ key, cert })]),
  )
  const tls = createServer({ SNICallback: (name, done) => done(null, contexts.get(name)) }, (socket) => {
    socket.on('error', () => {})
    socket.once('data', () =>
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok'),
    )
  })
  tls.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => tls.listen(0, '127.0.0.1', resolve))
  const { port } = tls.address() as AddressInfo
  return { port, close: () => tls.close() }
}

/** What a thief of the root's key could sign. */
function stolenKeyLeaf(name: string): string {
  const root = new X509Certificate(authority.certificatePem)
  const leaf = signCertificate(
    {
      issuer: AsnConvert.parse(root.raw, Certificate).tbsCertificate.subject,
      subject: distinguishedName('thief', name),
      notBefore: new Date(now.getTime() - 3_600_000),
      notAfter: new Date(now.getTime() + 86_400_000),
      publicKeySpki,
      extensions: [
        extension(
          id_ce_subjectAltName,
          false,
          new SubjectAlternativeName([new GeneralName({ dNSName: name })]),
        ),
      ],
    },
    createPrivateKey(authority.privateKeyPem),
  )
  return leaf + authority.certificatePem
}

function installedEnvironment(): Record<string, string> {
  const lines = readFileSync('/etc/environment', 'latin1').split('\n')
  return Object.fromEntries(
    variables.flatMap(({ name }) => {
      const line = lines.find((each) => each.startsWith(`${name}=`))
      return line === undefined ? [] : [[name, line.slice(name.length + 1)]]
    }),
  )
}

/** Everything in a directory: kind, mode, link target, content. */
function snapshot(directory: string): Record<string, string> {
  const entries = readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()
  return Object.fromEntries(
    entries.map((name) => {
      const path = join(directory, name)
      const status = lstatSync(path)
      if (status.isSymbolicLink()) return [name, `-> ${readlinkSync(path)}`]
      const content = status.isFile() ? createHash('sha256').update(readFileSync(path)).digest('hex') : ''
      return [name, `${status.mode.toString(8)} ${status.uid} ${status.gid} ${content}`]
    }),
  )
}

async function runInPrivateMounts(): Promise<never> {
  const copies = await mkdtemp(join(tmpdir(), 'trust-debian-'))
  const script = `set -eu
    copies=$1; shift
    mount -t tmpfs -o mode=0755 tmpfs "$copies"
    mkdir "$copies/etc" "$copies/anchors"
    cp -a /etc/. "$copies/etc"
    cp -a /usr/local/share/ca-certificates/. "$copies/anchors"
    mount --bind "$copies/etc" /etc
    mount --bind "$copies/anchors" /usr/local/share/ca-certificates
    exec "$@"`
  const tapVariables = Object.entries(process.env).filter(([name]) => name.startsWith('TAP'))
  const { status } = spawnSync(
    'unshare',
    [
      '--mount',
      '--propagation',
      'private',
      '--',
      '/bin/sh',
      '-c',
      script,
      'sh',
      copies,
      process.execPath,
      fileURLToPath(import.meta.url),
    ],
    { env: { ...Object.fromEntries(tapVariables), PATH, [INSIDE]: '1' }, stdio: 'inherit' },
  )
  await rm(copies, { recursive: true })
  process.exit(status ?? 1)
}
