import { isIPv6 } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { addressBytes, addressText, canonicalAddress, isAmong } from '../../firewall/ip-address.ts'
import { formatSockaddr, parseSockaddr } from '../../firewall/socket-address.ts'

t.test('turns addresses into bytes and back', async (t) => {
  t.same(addressBytes('203.0.113.10'), Buffer.from([203, 0, 113, 10]))
  t.same(addressBytes('2001:db8::1')?.toString('hex'), '20010db8000000000000000000000001')
  t.same(addressBytes('::')?.toString('hex'), '0'.repeat(32))
  t.same(addressBytes('1:2:3:4:5:6:7:8')?.toString('hex'), '00010002000300040005000600070008')
  t.same(addressBytes('64:ff9b::192.0.2.1')?.toString('hex'), '0064ff9b0000000000000000c0000201')
  t.same(addressBytes('::ffff:192.0.2.1'), Buffer.from([192, 0, 2, 1]))
  for (const text of ['', 'localhost', '1.2.3', '::1%lo', ':::']) t.equal(addressBytes(text), undefined)
  fc.assert(fc.property(fc.ipV4(), (text) => addressText(addressBytes(text)!) === text))
  fc.assert(
    fc.property(
      fc.ipV6(),
      (text) => !isIPv6(text) || addressText(addressBytes(text)!) === canonicalAddress(text)?.address,
    ),
  )
})

t.test('turns endpoints into socket addresses and back', async (t) => {
  for (const endpoint of [
    { address: '203.0.113.10', port: 443 },
    { address: '2001:db8::1', port: 65535 },
    { address: '::', port: 0 },
  ]) {
    t.same(parseSockaddr(formatSockaddr(endpoint).bytes), endpoint)
  }
  t.throws(() => formatSockaddr({ address: 'localhost', port: 1 }), { code: 'invalid-enforcement' })
  t.throws(() => formatSockaddr({ address: '127.0.0.1', port: 65536 }), { code: 'invalid-enforcement' })
})

t.test('makes nothing of bytes that are no socket address', async (t) => {
  t.equal(parseSockaddr(Buffer.alloc(28)), undefined)
  t.equal(parseSockaddr(formatSockaddr({ address: '::1', port: 1 }).bytes.subarray(0, 27)), undefined)
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => void parseSockaddr(Buffer.from(bytes))))
})

t.test('knows an address of a provider behind whatever NAT64 prefix', async (t) => {
  const known = new Set(['203.0.113.10', '2001:db8::1'])
  for (const address of ['203.0.113.10', '2001:db8::1', '64:ff9b::203.0.113.10', '2001:db8:64::cb00:710a'])
    t.equal(isAmong(known, address), true, address)
  for (const address of ['203.0.113.11', '2001:db8::2', '64:ff9b::203.0.113.11', '::1', 'no address'])
    t.equal(isAmong(known, address), false, address)
})
