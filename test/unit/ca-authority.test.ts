import { execFile } from 'node:child_process'
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { AsnConvert } from '@peculiar/asn1-schema'
import { Certificate, GeneralName, id_ce_subjectAltName, SubjectAlternativeName } from '@peculiar/asn1-x509'
import fc from 'fast-check'
import t from 'tap'
import { createAuthority } from '../../ca/authority.ts'
import { permittedDomainsOf } from '../../ca/authority-certificate.ts'
import { CaError } from '../../ca/ca-error.ts'
import { distinguishedName, extension, signCertificate } from '../../ca/certificate.ts'
import { issueLeaf } from '../../ca/leaf.ts'

const run = promisify(execFile)
const DAY = 86_400_000
const now = new Date()
const authority = await createAuthority({
  permittedDomains: ['Provider.example', 'api.other.example', 'provider.example'],
  now,
})
const publicKeySpki = spkiOf('prime256v1')

function spkiOf(namedCurve: string): Buffer {
  return generateKeyPairSync('ec', { namedCurve }).publicKey.export({ type: 'spki', format: 'der' })
}

function leafOf(chain: string): X509Certificate {
  return new X509Certificate(chain)
}

async function code(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof CaError)) return `no CaError: ${error}`
  return error.remedy === '' ? 'no remedy' : error.code
}

t.test('the root is a constrained authority that OpenSSL accepts strictly', async (t) => {
  const root = new X509Certificate(authority.certificatePem)
  t.ok(root.ca)
  t.ok(root.verify(root.publicKey))
  t.match(root.subject, /^O=Agent Anchor Gateway\nCN=Agent Anchor Gateway CA [0-9a-f]{8}$/)
  t.equal(root.validToDate.getUTCFullYear(), now.getUTCFullYear() + 10)
  t.ok(root.validFromDate.getTime() < now.getTime())
  const file = join(t.testdir(), 'ca.pem')
  writeFileSync(file, authority.certificatePem)
  await run('openssl', ['verify', '-x509_strict', '-CAfile', file, file], { env: { PATH: process.env.PATH } })
  const { stdout } = await run('openssl', ['x509', '-in', file, '-noout', '-text'], {
    env: { PATH: process.env.PATH },
  })
  t.match(stdout, /Basic Constraints: critical\s+CA:TRUE, pathlen:0/)
  t.match(stdout, /Key Usage: critical\s+Certificate Sign, CRL Sign/)
  t.match(
    stdout,
    /Name Constraints: critical\s+Permitted:\s+DNS:api.other.example\s+DNS:provider.example\s+Excluded:\s+IP:0.0.0.0/,
  )
  t.match(stdout, /Subject Key Identifier/)
  t.match(stdout, /Authority Key Identifier/)
})

t.test('two roots never share a subject or a key', async (t) => {
  const other = await createAuthority({ permittedDomains: ['provider.example'], now })
  const [a, b] = [new X509Certificate(authority.certificatePem), new X509Certificate(other.certificatePem)]
  t.not(a.subject, b.subject)
  t.notOk(a.publicKey.equals(b.publicKey))
})

t.test('the permitted domains can be read back, sorted and without doubles', async (t) => {
  t.same(permittedDomainsOf(authority.certificatePem), ['api.other.example', 'provider.example'])
  t.throws(() => permittedDomainsOf('garbage'), { code: 'authority-damaged' })
})

t.test('a root for no domain, a bare top-level domain or an address is refused', async (t) => {
  t.equal(await code(createAuthority({ permittedDomains: [], now })), 'no-permitted-domains')
  for (const bad of ['com', '*.example.com', '10.0.0.1', 'example.com.', '']) {
    t.equal(await code(createAuthority({ permittedDomains: [bad], now })), 'name-malformed', bad)
  }
})

t.test('a root for every site says so, signs for any name, and still for no address', async (t) => {
  const wide = await createAuthority({ permittedDomains: 'every', now })
  t.equal(permittedDomainsOf(wide.certificatePem), 'every')
  const leaf = leafOf(await issueLeaf(wide, { name: 'www.unlisted.example', publicKeySpki, now }))
  t.equal(leaf.subjectAltName, 'DNS:www.unlisted.example')
  t.equal(await code(issueLeaf(wide, { name: '10.0.0.1', publicKeySpki, now })), 'name-malformed')
  const dir = t.testdir({ 'ca.pem': wide.certificatePem, 'leaf.pem': leaf.toString() })
  await run('openssl', [
    ...['verify', '-x509_strict', '-purpose', 'sslserver', '-verify_hostname', 'www.unlisted.example'],
    ...['-CAfile', join(dir, 'ca.pem'), join(dir, 'leaf.pem')],
  ])
})

t.test('a leaf chains to the root, is for its name only, and short-lived', async (t) => {
  const chain = await issueLeaf(authority, { name: 'API.provider.example', publicKeySpki, now })
  const pems = chain.match(/-----BEGIN[\s\S]+?-----END CERTIFICATE-----\n/g) ?? []
  t.equal(pems.length, 2)
  t.equal(pems[1], authority.certificatePem)
  const [leaf, root] = [leafOf(chain), new X509Certificate(authority.certificatePem)]
  t.ok(leaf.checkIssued(root))
  t.ok(leaf.verify(root.publicKey))
  t.equal(leaf.subjectAltName, 'DNS:api.provider.example')
  t.equal(leaf.checkHost('other.provider.example'), undefined)
  t.same(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1'])
  t.notOk(leaf.ca)
  t.ok(leaf.publicKey.export({ type: 'spki', format: 'der' }).equals(publicKeySpki))
  const lifetime = leaf.validToDate.getTime() - leaf.validFromDate.getTime()
  t.ok(lifetime <= 30 * DAY && lifetime > 29 * DAY)
  t.ok(leaf.validFromDate.getTime() <= now.getTime())
  const dir = t.testdir({ 'ca.pem': authority.certificatePem, 'leaf.pem': pems[0] ?? '' })
  await run(
    'openssl',
    [
      'verify',
      '-x509_strict',
      '-purpose',
      'sslserver',
      '-verify_hostname',
      'api.provider.example',
      '-CAfile',
      join(dir, 'ca.pem'),
      join(dir, 'leaf.pem'),
    ],
    { env: { PATH: process.env.PATH } },
  )
})

t.test('serials are 16 bytes, positive and never the same', async (t) => {
  const serials = new Set<string>()
  for (let round = 0; round < 50; round++) {
    const { serialNumber } = leafOf(
      await issueLeaf(authority, { name: 'a.provider.example', publicKeySpki, now }),
    )
    t.match(serialNumber, /^[4-7][0-9A-F]{31}$/)
    serials.add(serialNumber)
  }
  t.equal(serials.size, 50)
})

t.test('the permitted domain itself gets a leaf, its look-alikes do not', async (t) => {
  await issueLeaf(authority, { name: 'provider.example', publicKeySpki, now })
  await issueLeaf(authority, { name: 'deep.er.api.other.example', publicKeySpki, now })
  for (const name of ['evilprovider.example', 'provider.example.evil.test', 'other.example', 'bank.test']) {
    t.equal(await code(issueLeaf(authority, { name, publicKeySpki, now })), 'name-outside-constraints', name)
  }
})

t.test('malformed names are refused', async (t) => {
  const names = [
    '',
    '.',
    'provider',
    '*.provider.example',
    'a..provider.example',
    '.provider.example',
    'provider.example.',
    '127.0.0.1',
    '::1',
    '[::1]',
    '0x7f.0x1',
    'a.1',
    'a b.provider.example',
    'a\n.provider.example',
    'a\0.provider.example',
    '-a.provider.example',
    'a-.provider.example',
    'a_b.provider.example',
    'ä.provider.example',
    'a.provider.example:443',
    'a/b.provider.example',
    '\u212Aa.provider.example',
    `${'a'.repeat(64)}.provider.example`,
    `${'a.'.repeat(120)}provider.example`,
  ]
  for (const name of names) {
    t.equal(
      await code(issueLeaf(authority, { name, publicKeySpki, now })),
      'name-malformed',
      JSON.stringify(name),
    )
  }
})

t.test('an error shows no control character of a hostile name', async (t) => {
  const error = await issueLeaf(authority, { name: '\x1b[2Jx\r\n', publicKeySpki, now }).catch(
    (e: Error) => e,
  )
  t.ok(error instanceof CaError && !/[\x00-\x1f]/.test(error.message))
})

t.test('any string gives a leaf for exactly that name or a CaError', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.string(),
        fc.string().map((s) => `${s}.provider.example`),
      ),
      async (name) => {
        const result = await issueLeaf(authority, { name, publicKeySpki, now }).catch((e: unknown) => e)
        if (typeof result !== 'string') return result instanceof CaError
        return leafOf(result).subjectAltName === `DNS:${name.toLowerCase()}`
      },
    ),
    { numRuns: 150 },
  )
})

t.test('keys of other kinds and garbage are refused as public keys', async (t) => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({
    type: 'spki',
    format: 'der',
  })
  for (const spki of [
    spkiOf('secp384r1'),
    rsa,
    Buffer.alloc(0),
    Buffer.from('garbage'),
    publicKeySpki.subarray(1),
  ]) {
    t.equal(
      await code(issueLeaf(authority, { name: 'a.provider.example', publicKeySpki: spki, now })),
      'public-key-unsuitable',
    )
  }
})

t.test('a key that is not the root’s, or damaged, is refused without showing it', async (t) => {
  const other = await createAuthority({ permittedDomains: ['provider.example'], now })
  const wish = { name: 'a.provider.example', publicKeySpki, now }
  t.equal(
    await code(issueLeaf({ ...authority, privateKeyPem: other.privateKeyPem }, wish)),
    'authority-damaged',
  )
  t.equal(await code(issueLeaf({ ...authority, certificatePem: 'x' }, wish)), 'authority-damaged')
  const broken = authority.privateKeyPem.replace(/.{10}\n-----END/, '\n-----END')
  const error = await issueLeaf({ ...authority, privateKeyPem: broken }, wish).catch((e: unknown) => e)
  t.ok(error instanceof CaError && error.code === 'authority-damaged' && error.cause === undefined)
})

t.test('a root without name constraints is not signed with', async (t) => {
  const signer = createPrivateKey(authority.privateKeyPem)
  const name = distinguishedName('x')
  const spki = new X509Certificate(authority.certificatePem).publicKey.export({ type: 'spki', format: 'der' })
  const bare = signCertificate(
    {
      issuer: name,
      subject: name,
      notBefore: now,
      notAfter: new Date(now.getTime() + DAY),
      publicKeySpki: spki,
      extensions: [],
    },
    signer,
  )
  t.equal(
    await code(
      issueLeaf({ ...authority, certificatePem: bare }, { name: 'a.provider.example', publicKeySpki, now }),
    ),
    'authority-damaged',
  )
})

t.test('a leaf never outlives the root, and outside the root’s time there is none', async (t) => {
  const rootEnd = new X509Certificate(authority.certificatePem).validToDate.getTime()
  const late = new Date(rootEnd - DAY)
  const leaf = leafOf(await issueLeaf(authority, { name: 'a.provider.example', publicKeySpki, now: late }))
  t.equal(leaf.validToDate.getTime(), rootEnd)
  for (const wrong of [new Date(rootEnd), new Date(now.getTime() - DAY), new Date(Number.NaN)]) {
    t.equal(
      await code(issueLeaf(authority, { name: 'a.provider.example', publicKeySpki, now: wrong })),
      'authority-not-valid-now',
    )
  }
})

t.test('OpenSSL refuses what a thief signs with the root’s key outside the constraints', async (t) => {
  const issuer = AsnConvert.parse(new X509Certificate(authority.certificatePem).raw, Certificate)
    .tbsCertificate.subject
  const dir = t.testdir({ 'ca.pem': authority.certificatePem })
  for (const [name, forged] of Object.entries({
    domain: new GeneralName({ dNSName: 'bank.test' }),
    address: new GeneralName({ iPAddress: '10.0.0.1' }),
  })) {
    const pem = signCertificate(
      {
        issuer,
        subject: distinguishedName('x'),
        notBefore: new Date(now.getTime() - DAY / 24),
        notAfter: new Date(now.getTime() + DAY),
        publicKeySpki,
        extensions: [extension(id_ce_subjectAltName, false, new SubjectAlternativeName([forged]))],
      },
      createPrivateKey(authority.privateKeyPem),
    )
    writeFileSync(join(dir, `${name}.pem`), pem)
    const result = await run(
      'openssl',
      ['verify', '-CAfile', join(dir, 'ca.pem'), join(dir, `${name}.pem`)],
      {
        env: { PATH: process.env.PATH },
      },
    ).catch((e: { stderr: string }) => e)
    t.match(result.stderr, /permitted subtree violation|excluded subtree violation/)
  }
})
