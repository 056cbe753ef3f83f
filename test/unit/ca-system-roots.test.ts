import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  X509Certificate,
} from 'node:crypto'
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { createAuthority } from '../../ca/authority.ts'
import { CaError } from '../../ca/ca-error.ts'
import { distinguishedName, signCertificate } from '../../ca/certificate.ts'
import { certificateBlocks, systemBundlePath, systemRootsWithout } from '../../ca/system-roots.ts'
import { cpuMsOf } from './cpu-time.ts'

const now = new Date()
const authority = (domain: string) => createAuthority({ permittedDomains: [domain], now })
const [ours, former] = await Promise.all([authority('ours.example'), authority('former.example')])
const [one, two] = [foreign('one.example'), foreign('two.example')]

function bundle(t: { testdir(files: Record<string, string>): string }, text: string): string {
  return join(t.testdir({ 'bundle.crt': text }), 'bundle.crt')
}

const subjects = (pems: string[]) => pems.map((pem) => new X509Certificate(pem).subject).sort()
const subjectOf = ({ certificatePem }: { certificatePem: string }) =>
  new X509Certificate(certificatePem).subject

t.test('our own certificate is left out, the others stay', async (t) => {
  const path = bundle(t, one.certificatePem + ours.certificatePem + two.certificatePem)
  t.same(
    subjects(systemRootsWithout([ours.certificatePem], { bundlePath: path })),
    [subjectOf(one), subjectOf(two)].sort(),
  )
})

t.test('another certificate with our key is left out too', async (t) => {
  const crossed = reissued()
  const path = bundle(t, one.certificatePem + crossed)
  t.same(subjects(systemRootsWithout([ours.certificatePem], { bundlePath: path })), [subjectOf(one)])
})

t.test('what a gateway left there is left out too, whatever its key', async (t) => {
  const path = bundle(t, one.certificatePem + former.certificatePem + ours.certificatePem)
  t.same(subjects(systemRootsWithout([ours.certificatePem], { bundlePath: path })), [subjectOf(one)])
})

t.test('of a CA and its successor neither vouches for a provider', async (t) => {
  const [current, successor] = [foreign('a.example'), foreign('b.example')]
  const path = bundle(t, current.certificatePem + one.certificatePem + successor.certificatePem)
  const certificates = [current.certificatePem, successor.certificatePem]
  t.same(subjects(systemRootsWithout(certificates, { bundlePath: path })), [subjectOf(one)])
})

t.test('garbage between and inside the blocks, CRLF and doubles do no harm', async (t) => {
  const broken = '-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n'
  const cut = one.certificatePem.slice(0, 200)
  const path = bundle(
    t,
    `# comment\0\xff\n${broken}${cut}\n${two.certificatePem.replaceAll('\n', '\r\n')}-----END CERTIFICATE-----\n` +
      `${one.certificatePem}${one.certificatePem}${ours.certificatePem}-----BEGIN CERTIFICATE-----\nAAAA`,
  )
  t.same(
    subjects(systemRootsWithout([ours.certificatePem], { bundlePath: path })),
    [subjectOf(one), subjectOf(two)].sort(),
  )
})

t.test('any text between blocks leaves the certificates found', async () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (before, after) => {
      const text = `${before}\n${one.certificatePem}${after}`
      return [...certificateBlocks(text)].includes(one.certificatePem.trimEnd())
    }),
  )
})

t.test('a bundle with nothing but our certificate is an error, not an empty list', async (t) => {
  t.throws(() => systemRootsWithout([ours.certificatePem], { bundlePath: bundle(t, ours.certificatePem) }), {
    code: 'system-bundle-unusable',
  })
})

t.test('a missing, huge or odd bundle is a typed error', async (t) => {
  const dir = t.testdir({})
  const huge = join(dir, 'huge')
  writeFileSync(huge, '')
  truncateSync(huge, 17 * 1024 * 1024)
  for (const bundlePath of [join(dir, 'none'), dir, huge]) {
    t.throws(() => systemRootsWithout([ours.certificatePem], { bundlePath }), {
      code: 'system-bundle-unusable',
    })
  }
  t.throws(() => systemRootsWithout(['garbage'], { bundlePath: bundle(t, one.certificatePem) }), CaError)
})

t.test('variables do not change which bundle is read', async (t) => {
  const kept = process.env.SSL_CERT_FILE
  t.teardown(() => {
    if (kept === undefined) delete process.env.SSL_CERT_FILE
    else process.env.SSL_CERT_FILE = kept
  })
  process.env.SSL_CERT_FILE = bundle(t, one.certificatePem)
  const root = t.testdir({ etc: { pki: { tls: { certs: { 'ca-bundle.crt': '' } } } } })
  t.equal(systemBundlePath(root), '/etc/pki/tls/certs/ca-bundle.crt')
  t.throws(() => systemBundlePath(join(root, 'nothing')), { code: 'no-system-bundle' })
})

t.test('150 roots are read in well under a second', async (t) => {
  const many = Array.from({ length: 150 }, (_, each) => foreign(`r${each}.example`))
  const path = bundle(t, many.map(({ certificatePem }) => certificatePem).join('') + ours.certificatePem)
  let roots: readonly string[] = []
  const spent = cpuMsOf(() => {
    roots = systemRootsWithout([ours.certificatePem], { bundlePath: path })
  })
  t.equal(roots.length, 150)
  t.ok(spent < 800, `${spent} ms`)
})

/** Our key under another subject. */
const reissued = () => selfSigned('somebody else', ours)

/** A root that no gateway made. */
function foreign(name: string): { certificatePem: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const pem = (key: KeyObject, type: 'spki' | 'pkcs8') =>
    key.export({ type, format: 'pem' } as never).toString()
  return {
    certificatePem: selfSigned(name, {
      certificatePem: pem(publicKey, 'spki'),
      privateKeyPem: pem(privateKey, 'pkcs8'),
    }),
  }
}

/** @param keys its public key, or a certificate of it, and its private key */
function selfSigned(subject: string, keys: { certificatePem: string; privateKeyPem: string }): string {
  const name = distinguishedName(subject)
  return signCertificate(
    {
      issuer: name,
      subject: name,
      notBefore: now,
      notAfter: new Date(now.getTime() + 1e9),
      publicKeySpki: createPublicKey(keys.certificatePem).export({ type: 'spki', format: 'der' }),
      extensions: [],
    },
    createPrivateKey(keys.privateKeyPem),
  )
}
