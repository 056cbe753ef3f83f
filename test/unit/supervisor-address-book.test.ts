import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { formatSummed } from '../../daemon/base/summed-json.ts'
import { isRemoteAddress, openAddressBook, readStored } from '../../daemon/supervisor/address-book.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const NOW = 1_800_000_000_000

async function place(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'aa-book-'))
  t.teardown(() => rm(directory, { recursive: true }))
  return join(directory, 'addresses.json')
}

t.test('only addresses that a remote host can have are taken', async (t) => {
  const book = await openAddressBook(await place(t), NOW)
  const refused = ['127.0.0.1', '169.254.169.254', '0.0.0.0', '224.0.0.1', '255.255.255.255', '::1', '::']
  refused.push('100.100.100.200', '168.63.129.16', 'fd00:ec2::254', 'fd00:ec2::23', 'fd20:ce::254')
  refused.push('fe80::1', 'fe80::1%eth0', 'ff02::1', '::ffff:1.2.3.4', 'localhost', '', '1.2.3.4; drop')
  for (const address of refused) t.equal(isRemoteAddress(address), false, address)
  t.equal(
    book.learn(
      refused.map((address) => ({ address })),
      NOW,
    ),
    false,
  )
  t.equal(book.learn([{ address: '203.0.113.9' }, { address: '2001:db8::1' }], NOW), true)
  t.same(book.addresses4, ['203.0.113.9'])
  t.same(book.addresses6, ['2001:db8::1'])
  t.equal(book.learn([{ address: '203.0.113.9' }], NOW), false, 'which is nothing new')
})

t.test('an answer that gives a provider an address of this machine’s is not believed', async (t) => {
  const own = new Set(['203.0.113.1'])
  const book = await openAddressBook(await place(t), NOW, () => own)
  t.equal(book.learn([{ address: '203.0.113.1' }], NOW), false)
  t.equal(book.learn([{ address: '203.0.113.2' }], NOW), true)
  t.same(book.addresses4, ['203.0.113.2'])
})

t.test('an address expires a day after its TTL has run out, and each sighting renews it', async (t) => {
  const book = await openAddressBook(await place(t), NOW)
  book.learn([{ address: '203.0.113.1', ttlSeconds: 300 }], NOW)
  book.learn([{ address: '203.0.113.2', ttlSeconds: 300 }], NOW)
  t.equal(book.expire(NOW + DAY + 5 * MINUTE - 1), false)
  book.learn([{ address: '203.0.113.2', ttlSeconds: 300 }], NOW + MINUTE)
  t.equal(book.expire(NOW + DAY + 5 * MINUTE), true)
  t.same(book.addresses4, ['203.0.113.2'])
  t.equal(book.expire(NOW + DAY + 6 * MINUTE), true)
  t.same(book.addresses4, [])
})

t.test(
  'a TTL below a minute counts as a minute, an absurd one as a week, a shorter one takes nothing away',
  async (t) => {
    const book = await openAddressBook(await place(t), NOW)
    book.learn([{ address: '203.0.113.1', ttlSeconds: 0 }], NOW)
    book.learn([{ address: '203.0.113.2', ttlSeconds: 0xffff_ffff }], NOW)
    book.learn([{ address: '203.0.113.3', ttlSeconds: Number.NaN }], NOW)
    book.learn([{ address: '203.0.113.4', ttlSeconds: 3600 }], NOW)
    book.learn([{ address: '203.0.113.4', ttlSeconds: 60 }], NOW)
    t.equal(book.expire(NOW + DAY + MINUTE - 1), false)
    book.expire(NOW + DAY + MINUTE)
    t.same(book.addresses4, ['203.0.113.2', '203.0.113.4'])
    book.expire(NOW + DAY + 60 * MINUTE)
    t.same(book.addresses4, ['203.0.113.2'])
    book.expire(NOW + 8 * DAY)
    t.same(book.addresses4, [])
  },
)

t.test('the name of an address is the one that it was last seen under', async (t) => {
  const book = await openAddressBook(await place(t), NOW)
  book.learn([{ address: '203.0.113.1', name: 'api.openai.com' }], NOW)
  book.learn([{ address: '203.0.113.1' }], NOW)
  t.equal(book.nameOf('203.0.113.1'), 'api.openai.com')
  book.learn([{ address: '203.0.113.1', name: 'api.anthropic.com' }], NOW)
  t.equal(book.nameOf('203.0.113.1'), 'api.anthropic.com')
  t.equal(book.nameOf('203.0.113.7'), undefined)
})

t.test('what was seen in passing can’t keep out what the gateway resolves', async (t) => {
  const book = await openAddressBook(await place(t), NOW)
  const flood = Array.from({ length: 30_000 }, (_, i) => ({
    address: `198.18.${i >> 8}.${i & 255}`,
    passive: true,
  }))
  book.learn(flood, NOW)
  t.equal(book.addresses4.length, 15_000)
  t.equal(book.learn([{ address: '203.0.113.1' }], NOW), true)
  book.learn(
    flood.map(({ address }) => ({ address: address.replace('198.18', '198.19') })),
    NOW,
  )
  t.equal(book.addresses4.length, 20_000, 'and nobody fills it further')
  t.ok(book.addresses4.includes('203.0.113.1'))
  book.expire(NOW + 2 * DAY)
  t.same(book.addresses4, [])
  book.learn(flood, NOW)
  t.equal(book.addresses4.length, 15_000, 'expiry makes room')
})

t.test('the book outlives the daemon, and what it holds gets at least one day more', async (t) => {
  const file = await place(t)
  const book = await openAddressBook(file, NOW)
  book.learn([{ address: '203.0.113.1', ttlSeconds: 60, name: 'api.openai.com' }], NOW)
  book.learn([{ address: '203.0.113.2', ttlSeconds: 7 * 24 * 3600 }], NOW)
  await book.save()

  const later = NOW + 30 * DAY
  const reopened = await openAddressBook(file, later)
  t.same(reopened.addresses4, ['203.0.113.1', '203.0.113.2'])
  t.equal(reopened.nameOf('203.0.113.1'), 'api.openai.com')
  t.equal(reopened.expire(later + DAY - 1), false)
  reopened.expire(later + DAY)
  t.same(reopened.addresses4, [])

  const backInTime = await openAddressBook(file, NOW - 300 * DAY)
  backInTime.expire(NOW - 290 * DAY)
  t.same(backInTime.addresses4, [], 'a clock that was ahead keeps nothing for ever')
})

t.test('a book of the version before is read', async (t) => {
  const file = await place(t)
  await writeFile(file, formatSummed({ v: 1, addresses: { '203.0.113.1': NOW - DAY } }))
  t.same((await openAddressBook(file, NOW)).addresses4, ['203.0.113.1'])
})

t.test('a damaged book starts empty, and the check tells', async (t) => {
  const file = await place(t)
  const book = await openAddressBook(file, NOW)
  book.learn([{ address: '203.0.113.1' }], NOW)
  await book.save()
  t.equal((await readStored(file)).length, 1)
  const bytes = await readFile(file)
  bytes[20] = (bytes[20] ?? 0) ^ 1
  await writeFile(file, bytes)
  await t.rejects(readStored(file))
  t.same((await openAddressBook(file, NOW)).addresses4, [])
})
