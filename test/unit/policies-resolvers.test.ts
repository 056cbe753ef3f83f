import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { isResolverAddress, isResolverName, loadResolvers } from '../../policies/resolvers.ts'
import { RESOLVERS_FILE, shippedDirectory } from '../../policies/shipped.ts'

const file = join(shippedDirectory, RESOLVERS_FILE)
const shipped = loadResolvers(file)

t.test('the known services are told by name and by address', async (t) => {
  for (const name of [
    'dns.google',
    'DNS.Google.',
    'cloudflare-dns.com',
    'dns9.quad9.net',
    'abc123.dns.nextdns.io',
  ]) {
    t.ok(isResolverName(shipped, name), name)
  }
  for (const name of [
    'google.com',
    'www.cloudflare.com',
    'quad9.net',
    'dns.google.evil.example',
    '',
    '8.8.8.8',
  ]) {
    t.notOk(isResolverName(shipped, name), name)
  }
  for (const address of [
    '8.8.8.8',
    '1.1.1.1',
    '1.0.0.1',
    '9.9.9.9',
    '2001:4860:4860::8888',
    '::ffff:8.8.4.4',
  ]) {
    t.ok(isResolverAddress(shipped, address), address)
  }
  for (const address of ['8.8.8.9', '1.1.1.4', '104.16.1.1', '2606:4700::1', 'dns.google', '']) {
    t.notOk(isResolverAddress(shipped, address), address)
  }
})

t.test('no service stands twice, and none is a provider of models', async (t) => {
  const names = shipped.services.flatMap((service) => service.names)
  const addresses = shipped.services.flatMap((service) => service.addresses)
  t.equal(new Set(names).size, names.length)
  t.equal(new Set(addresses).size, addresses.length)
  t.ok(Object.isFrozen(shipped.services[0]?.names))
})

t.test('a list with mistakes is refused with places', async (t) => {
  const dir = t.testdir()
  const bad = join(dir, 'r.yaml')
  t.throws(() => loadResolvers(bad), { code: 'FILE_UNREADABLE', remedy: /Restore/ })
  const cases: [from: string, to: string, message: RegExp][] = [
    ['dns.google,', "'*.com',", /r\.yaml:\d+:13: .*too broad/],
    ['8.8.8.8,', '8.8.8,', /r\.yaml:\d+:17: .*neither an address nor a network/],
    ['8.8.8.8,', '8.8.8.8/24,', /write `8\.8\.8\.0\/24`/],
    ['kind: Resolvers', 'kind: Catalogue', /`kind` must be `Resolvers`/],
    ['    names: [dns.google', '    name: [dns.google', /unknown key `name`; did you mean `names`\?/],
  ]
  for (const [from, to, message] of cases) {
    t.testdir({ 'r.yaml': readFileSync(file, 'utf8').replace(from, to) })
    t.throws(() => loadResolvers(bad), { code: 'INVALID_DOCUMENT', message }, to)
  }
})
