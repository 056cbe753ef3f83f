import { endianness } from 'node:os'
import fc from 'fast-check'
import t from 'tap'
import {
  formatQuery,
  formatUdpList,
  mayBeOf,
  parseAnswers,
  type SocketAnswer,
} from '../../firewall/inet-diag.ts'

const parseAnswer = (datagram: Buffer): SocketAnswer | undefined => parseAnswers(datagram)[0]

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

const LITTLE = endianness() === 'LE'

/** A netlink attribute, padded. */
function attribute(type: number, value: Buffer): Buffer {
  const head = Buffer.alloc(4)
  for (const [at, number] of [4 + value.length, type].entries()) {
    if (LITTLE) head.writeUInt16LE(number, 2 * at)
    else head.writeUInt16BE(number, 2 * at)
  }
  return Buffer.concat([head, value, Buffer.alloc((4 - (value.length % 4)) % 4)])
}

function withAttributes(message: Buffer, ...attributes: Buffer[]): Buffer {
  const whole = Buffer.concat([message, ...attributes])
  if (LITTLE) whole.writeUInt32LE(whole.length, 0)
  else whole.writeUInt32BE(whole.length, 0)
  return whole
}

const id = (value: bigint) => {
  const bytes = Buffer.alloc(8)
  if (LITTLE) bytes.writeBigUInt64LE(value)
  else bytes.writeBigUInt64BE(value)
  return bytes
}

t.test('reads the cgroup that a socket was made in, among attributes that it does not know', async (t) => {
  const q = query(4, '192.0.2.2', '203.0.113.10')
  const message = withAttributes(
    answer(2, q!.ends, 1, 2),
    attribute(8, Buffer.from([0])),
    attribute(0x8000 | 21, id(0x1_0000_0042n)),
  )
  t.match(parseAnswer(message), { socket: { inode: 2, cgroup: 0x1_0000_0042n } })
  t.equal(parseAnswer(message)?.sequence, 7)
  const torn = withAttributes(
    answer(2, q!.ends, 1, 2),
    attribute(21, Buffer.alloc(4)),
    Buffer.from([9, 0, 21, 0]),
  )
  t.notHas((parseAnswer(torn) as { socket: object }).socket, { cgroup: /./ }, 'a short one is none')
})

t.test('reads a list to its end', async (t) => {
  const q = query(4, '192.0.2.2', '203.0.113.10')
  const done = withAttributes(answer(2, q!.ends, 0, 0).subarray(0, 16), Buffer.alloc(4))
  if (LITTLE) done.writeUInt16LE(3, 4)
  else done.writeUInt16BE(3, 4)
  const answers = parseAnswers(Buffer.concat([answer(2, q!.ends, 1, 11), answer(2, q!.ends, 2, 22), done]))
  t.match(answers, [{ socket: { inode: 11 } }, { socket: { inode: 22 } }, { sequence: 7, done: true }])
})

t.test('a UDP socket may have sent what its binding and its connection allow', async (t) => {
  const local = { address: '192.0.2.2', port: 40000 }
  const remote = { address: '203.0.113.10', port: 443 }
  const flow = { family: 4 as const, local, remote }
  const socket = (source: string, port: number, destination: string, dport: number, v6Only?: true) => {
    const ends = formatQuery({
      ...{ sequence: 0, family: 4 as const },
      local: { address: source, port },
      remote: { address: destination, port: dport },
    })!.ends
    return { ends, uid: 1, inode: 2, ...(v6Only ? { v6Only } : {}) }
  }
  t.ok(mayBeOf(socket('192.0.2.2', 40000, '203.0.113.10', 443), flow), 'connected')
  t.ok(mayBeOf(socket('192.0.2.2', 40000, '0.0.0.0', 0), flow), 'bound')
  t.ok(mayBeOf(socket('0.0.0.0', 40000, '0.0.0.0', 0), flow), 'bound to any address')
  t.notOk(mayBeOf(socket('0.0.0.0', 40000, '0.0.0.0', 0, true), flow), 'of IPv6 alone')
  t.notOk(mayBeOf(socket('192.0.2.3', 40000, '0.0.0.0', 0), flow), 'another address')
  t.notOk(mayBeOf(socket('192.0.2.2', 40001, '0.0.0.0', 0), flow), 'another port')
  t.notOk(mayBeOf(socket('192.0.2.2', 40000, '203.0.113.10', 444), flow), 'connected elsewhere')
  t.notOk(mayBeOf(socket('0.0.0.0', 40000, '0.0.0.0', 0), { ...flow, family: 6 }), 'no such address')
  const list = formatUdpList(9, 6, 40000)
  t.equal(list[16], 10)
  t.equal(list[17], 17)
  t.equal(list.readUInt16BE(24), 40000)
})

t.test('makes nothing of other messages, and never throws', async (t) => {
  t.equal(parseAnswer(Buffer.alloc(0)), undefined)
  t.equal(parseAnswer(answer(2, Buffer.alloc(36), 0, 0).subarray(0, 87)), undefined)
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void parseAnswers(Buffer.from(bytes))))
})
