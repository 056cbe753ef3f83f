import { X509Certificate } from 'node:crypto'
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { createAuthority } from '../../ca/authority.ts'
import { CaError } from '../../ca/ca-error.ts'
import { certificateBlocks, systemBundlePath, systemRootsWithout } from '../../ca/system-roots.ts'
import { cpuMsOf } from './cpu-time.ts'

const now = new Date()
const authority = (domain: string) => createAuthority({ permittedDomains: [domain], now })
const [ours, one, two] = await Promise.all([
  authority('ours.example'),
  authority('one.example'),
  authority('two.example'),
])

function bundle(t: { testdir(files: Record<string, string>): string }, text: string): string {
  return join(t.testdir({ 'bundle.crt': text }), 'bundle.crt')
}

const subjects = (pems: string[]) => pems.map((pem) => new X509Certificate(pem).subject).sort()
const subjectOf = ({ certificatePem }: { certificatePem: string }) =>
  new X509Certificate(certificatePem).subject

t.test('our own certificate is left out, the others stay', async (t) => {
  const path = bundle(t, one.certificatePem + ours.certificatePem + two.certificatePem)
  t.same(
    subjects(systemRootsWithout(ours.certificatePem, { bundlePath: path })),
    [subjectOf(one), subjectOf(two)].sort(),
  )
})

t.test('another certificate with our key is left out too', async (t) => {
  const crossed = await reissued()
  const path = bundle(t, one.certificatePem + crossed)
  t.same(subjects(systemRootsWithout(ours.certificatePem, { bundlePath: path })), [subjectOf(one)])
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
    subjects(systemRootsWithout(ours.certificatePem, { bundlePath: path })),
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
  t.throws(() => systemRootsWithout(ours.certificatePem, { bundlePath: bundle(t, ours.certificatePem) }), {
    code: 'system-bundle-unusable',
  })
})

t.test('a missing, huge or odd bundle is a typed error', async (t) => {
  const dir = t.testdir({})
  const huge = join(dir, 'huge')
  writeFileSync(huge, '')
  truncateSync(huge, 17 * 1024 * 1024)
  for (const bundlePath of [join(dir, 'none'), dir, huge]) {
    t.throws(() => systemRootsWithout(ours.certificatePem, { bundlePath }), {
      code: 'system-bundle-unusable',
    })
  }
  t.throws(() => systemRootsWithout('garbage', { bundlePath: bundle(t, one.certificatePem) }), CaError)
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
  const many = await Promise.all(Array.from({ length: 150 }, (_, each) => authority(`r${each}.example`)))
  const path = bundle(t, many.map(({ certificatePem }) => certificatePem).join('') + ours.certificatePem)
  let roots: readonly string[] = []
  const spent = cpuMsOf(() => {
    roots = systemRootsWithout(ours.certificatePem, { bundlePath: path })
  })
  t.equal(roots.length, 150)
  t.ok(spent < 800, `${spent} ms`)
})

/** Our key under another subject. */
async function reissued(): Promise<string> {
  const { createPrivateKey } = await import('node:crypto')
  const { distinguishedName, signCertificate } = await import('../../ca/certificate.ts')
  const name = distinguishedName('somebody else')
  return signCertificate(
    {
      issuer: name,
      subject: name,
      notBefore: now,
      notAfter: new Date(now.getTime() + 1e9),
      publicKeySpki: new X509Certificate(ours.certificatePem).publicKey.export({
        type: 'spki',
        format: 'der',
      }),
      extensions: [],
    },
    createPrivateKey(ours.privateKeyPem),
  )
}
