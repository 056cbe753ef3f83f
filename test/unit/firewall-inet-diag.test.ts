import { endianness } from 'node:os'
import fc from 'fast-check'
import t from 'tap'
import { formatQuery, parseAnswer } from '../../firewall/inet-diag.ts'

const query = (family: 4 | 6, local: string, remote: string) =>
  formatQuery({
    sequence: 7,
    family,
    local: { address: local, port: 40000 },
    remote: { address: remote, port: 443 },
  })

/** The kernel's answer, as inet_diag_msg in native order (recorded values in the same places). */
function answer(family: number, ends: Buffer, uid: number, inode: number): Buffer {
  const message = Buffer.alloc(88)
  message[16] = family
  message[17] = 1
  ends.copy(message, 20)
  const little = endianness() === 'LE'
  const put = (value: number, at: number) =>
    little ? message.writeUInt32LE(value, at) : message.writeUInt32BE(value, at)
  put(88, 0)
  put(7, 8)
  put(uid, 80)
  put(inode, 84)
  if (little) message.writeUInt16LE(20, 4)
  else message.writeUInt16BE(20, 4)
  return message
}

t.test('asks for one connection by both its ends', async (t) => {
  const q = query(4, '192.0.2.2', '203.0.113.10')
  t.equal(q?.message.length, 72)
  t.equal(q?.ends.toString('hex'), `9c4001bb${'c0000202'.padEnd(32, '0')}${'cb00710a'.padEnd(32, '0')}`)
  t.equal(q?.message.subarray(64).toString('hex'), 'f'.repeat(16), 'whatever its cookie')
  t.same(query(4, '::ffff:192.0.2.2', '203.0.113.10')?.ends, q?.ends, 'an IPv4-mapped end is an IPv4 one')
})

t.test('asks nothing where an end is not of the family', async (t) => {
  t.equal(query(4, '192.0.2.2', '2001:db8::1'), undefined)
  t.equal(query(6, '192.0.2.2', '203.0.113.10'), undefined)
  t.equal(query(6, 'localhost', '::1'), undefined)
})

t.test('reads who owns the socket', async (t) => {
  const q = query(6, '2001:db8::2', '2001:db8::1')
  t.same(parseAnswer(answer(10, q!.ends, 1234, 99)), {
    sequence: 7,
    socket: { ends: q!.ends, uid: 1234, inode: 99 },
  })
})

t.test('knows an IPv6 socket that speaks IPv4', async (t) => {
  const q = query(4, '192.0.2.2', '203.0.113.10')
  const mapped = Buffer.from(`9c4001bb${'0'.repeat(20)}ffffc0000202${'0'.repeat(20)}ffffcb00710a`, 'hex')
  const read = parseAnswer(answer(10, mapped, 1, 2))
  t.same(read && 'socket' in read && read.socket.ends, q?.ends)
})

t.test('makes nothing of other messages, and never throws', async (t) => {
  t.equal(parseAnswer(Buffer.alloc(0)), undefined)
  t.equal(parseAnswer(answer(2, Buffer.alloc(36), 0, 0).subarray(0, 87)), undefined)
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void parseAnswer(Buffer.from(bytes))))
})
