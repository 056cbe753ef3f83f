import { endianness } from 'node:os'
import fc from 'fast-check'
import t from 'tap'
import { readLoggedPacket } from '../../daemon/wire/nflog.ts'
import { ENDS, ENDS6, ethernet, loggedPacket, tcpPacket } from './sensor-fixture.ts'

// Attributes are native-endian, and the fixture writes them as the supported machines do.
t.equal(endianness(), 'LE')
const packet = tcpPacket(ENDS, 1, Buffer.from('x'))

t.test('reads rule, sender, hook, number and packet', async (t) => {
  const as = {
    prefix: 'aa:egress-tcp ',
    uid: 4001,
    gid: 4002,
    hook: 3,
    sequence: 0xffff_fffe,
    inputDevice: 5,
  }
  t.same(readLoggedPacket(loggedPacket(packet, as)), { ...as, prefix: 'aa:egress-tcp', family: 2, packet })
  const forwarded = readLoggedPacket(loggedPacket(packet, { hook: 2 }))
  t.equal(forwarded?.hook, 2)
  t.notOk(forwarded && 'uid' in forwarded, 'nobody is nobody, not root')
})

t.test('takes the link header off what an egress chain logged, whatever its first byte', async (t) => {
  for (const each of [packet, tcpPacket(ENDS6, 1, Buffer.from('x'))]) {
    const six = each !== packet
    const frame = ethernet(each)
    // An address of the network card that looks like the beginning of an IP header.
    frame[0] = six ? 0x60 : 0x45
    const log = (bytes: Buffer) => {
      const logged = loggedPacket(bytes, { family: 5 })
      logged.writeUInt16BE(six ? 0x86dd : 0x0800, 8)
      return readLoggedPacket(logged)?.packet
    }
    t.same(log(frame), each)
    t.same(log(each), each, 'a device without link headers')
  }
})

t.test('what is cut short or has no packet is none', async (t) => {
  const whole = loggedPacket(packet, { uid: 1 })
  for (let length = 0; length < whole.length - 3; length += 1) {
    const read = readLoggedPacket(whole.subarray(0, length))
    t.ok(read === undefined || read.packet.length === packet.length)
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const read = readLoggedPacket(Buffer.from(bytes))
      return read === undefined || read.packet.length <= bytes.length
    }),
  )
})
