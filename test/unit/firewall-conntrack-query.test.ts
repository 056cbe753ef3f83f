import fc from 'fast-check'
import t from 'tap'
import { formatConntrackQuery, parseConntrackAnswer } from '../../firewall/conntrack-query.ts'
import { attribute, messageOf, nested } from '../../firewall/netlink-message.ts'

const ends = {
  local: { address: '127.0.0.1', port: 18443 },
  peer: { address: '198.51.100.2', port: 45459 },
}

t.test('asks for one TCP connection by its reply, in the kernel’s form', async (t) => {
  const query = formatConntrackQuery(7, ends)
  t.equal(
    query?.toString('hex'),
    [
      '48000000' + '0101' + '0100' + '07000000' + '00000000',
      '02000000',
      '34000280' + '14000180' + '080001007f000001' + '08000200c6336402',
      '1c000280' + '05000100' + '06000000' + '06000200480b0000' + '06000300b1930000',
    ].join(''),
    'little-endian lengths, network order in addresses and ports',
  )
  t.equal(formatConntrackQuery(7, { ...ends, peer: { address: '2001:db8::1', port: 1 } }), undefined)
  t.ok(
    formatConntrackQuery(7, {
      local: { address: '::1', port: 1 },
      peer: { address: '2001:db8::1', port: 2 },
    }),
  )
})

const answer = (sequence: number, address: Buffer, port: number) =>
  messageOf({
    ...{ type: 0x100, flags: 0, sequence },
    body: Buffer.concat([
      Buffer.alloc(4),
      nested(
        1,
        nested(1, attribute(address.length === 4 ? 1 : 3, address)),
        nested(2, attribute(1, Buffer.of(6)), attribute(2, Buffer.of(port >> 8, port & 255))),
      ),
    ]),
  })

t.test('reads who opened it', async (t) => {
  const four = answer(7, Buffer.of(198, 51, 100, 2), 48432)
  t.same(parseConntrackAnswer(four, 7), { source: { address: '198.51.100.2', port: 48432 } })
  t.equal(parseConntrackAnswer(four, 8), undefined, 'the answer to another question')
  const six = answer(7, Buffer.from('20010db8005100000000000000000002', 'hex'), 1)
  t.same(parseConntrackAnswer(Buffer.concat([four.subarray(0, 0), six]), 7), {
    source: { address: '2001:db8:51::2', port: 1 },
  })
  const errno = Buffer.alloc(4)
  errno.writeInt32LE(-2)
  const gone = messageOf({ type: 2, flags: 0, sequence: 7, body: errno })
  t.same(parseConntrackAnswer(gone, 7), { errno: 2 })
})

t.test('no bytes make it fail', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(255), fc.nat(200), (bytes, value, at) => {
      parseConntrackAnswer(Buffer.from(bytes), 7)
      const mutated = answer(7, Buffer.of(198, 51, 100, 2), 48432)
      mutated[at % mutated.length] = value
      parseConntrackAnswer(mutated, 7)
    }),
    { numRuns: 2000 },
  )
})
