import t from 'tap'
import type { Enforcement } from '../../firewall/enforcement.ts'
import { FirewallError } from '../../firewall/errors.ts'
import { fakeNft } from '../../firewall/fake-nft.ts'
import { applyFence, fencePresent, readCounters, removeFence } from '../../firewall/fence.ts'

const e: Enforcement = {
  fence: 'providers',
  redirect: 'ports',
  subjects: 'everyone',
  exempt: { uids: [], gids: [], cgroups: [] },
  allowed: [],
  localPorts: [],
  dnsLogGroup: 72,
  resolversRefused: false,
  uplinks: ['eth0'],
  leaseMs: 10_000,
  proxyUids: [1002],
  ports: [80, 443],
  addresses4: ['203.0.113.10'],
  addresses6: [],
  bridges: [],
  redirectPort: 18443,
  guardedPorts: [],
  logGroup: 71,
}
const refused = new FirewallError('rules-refused', 'nft: File exists', 'see nft')

t.test('stands after applying, in one transaction each time, and is gone after removing', async (t) => {
  const nft = fakeNft()
  t.equal(await fencePresent(nft), false)
  await applyFence(nft, e)
  await applyFence(nft, e)
  t.equal(nft.applied.length, 2)
  t.equal(nft.applied[0], nft.applied[1])
  t.equal(await fencePresent(nft), true)
  await removeFence(nft)
  await removeFence(nft)
  t.equal(await fencePresent(nft), false)
})

t.test('a table without rules is no fence', async (t) => {
  const nft = fakeNft()
  await nft.apply('add table inet aa_fence\n')
  t.equal(await fencePresent(nft), false)
})

t.test('replaces a standing fence as a whole where it cannot be changed in place', async (t) => {
  const nft = fakeNft()
  await applyFence(nft, e)
  nft.failNext(refused)
  await applyFence(nft, e)
  t.match(
    nft.applied.at(-1),
    /^add table inet aa_fence\ndelete table inet aa_fence\n(?:.+\n)*?add table inet aa_fence\n/,
  )
})

t.test('passes an error on where no fence stands, and where root is lacking', async (t) => {
  const nft = fakeNft()
  nft.failNext(refused)
  await t.rejects(applyFence(nft, e), { code: 'rules-refused' })
  await applyFence(nft, e)
  nft.failNext(new FirewallError('not-permitted', 'nft: Operation not permitted', 'run as root'))
  await t.rejects(applyFence(nft, e), { code: 'not-permitted' })
  t.equal(nft.applied.length, 1)
})

t.test('applies nothing where the enforcement is invalid', async (t) => {
  const nft = fakeNft()
  await t.rejects(applyFence(nft, { ...e, addresses4: ['localhost'] }), { code: 'invalid-enforcement' })
  t.same(nft.applied, [])
})

t.test('reads the counters of both tables', async (t) => {
  const nft = fakeNft()
  t.same(await readCounters(nft), {})
  nft.counters.set('inet aa_fence', { refused_tcp: { packets: 1, bytes: 60 } })
  nft.counters.set('inet aa_redirect', { redirected: { packets: 2, bytes: 120 } })
  t.same(await readCounters(nft), {
    refused_tcp: { packets: 1, bytes: 60 },
    redirected: { packets: 2, bytes: 120 },
  })
})
