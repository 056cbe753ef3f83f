import fc from 'fast-check'
import t from 'tap'
import { ipOfCooked, readIpPacket, readTcp, readUdp, TCP, UDP } from '../../daemon/wire/ip-packet.ts'
import { cooked, ENDS, ENDS6, ipPacket, tcpPacket, udpPacket } from './sensor-fixture.ts'

const data = Buffer.from('hello')

for (const [family, ends] of [
  [4, ENDS],
  [6, ENDS6],
] as const) {
  t.test(`reads TCP and UDP over IPv${family}, without what pads a short frame`, async (t) => {
    const padding = Buffer.alloc(20, 0xee)
    const tcp = readIpPacket(Buffer.concat([tcpPacket(ends, 77, data), padding]))
    t.match(tcp, { family, protocol: TCP })
    t.same(tcp && readTcp(tcp.payload), {
      sourcePort: 40_000,
      destinationPort: 443,
      sequence: 77,
      syn: false,
      data,
    })
    const udp = readIpPacket(Buffer.concat([udpPacket(ends, data), padding]))
    t.match(udp, { family, protocol: UDP })
    t.same(udp && readUdp(udp.payload), { sourcePort: 40_000, destinationPort: 443, data })
  })

  t.test(`tells fragments of IPv${family} and their place`, async (t) => {
    const first = readIpPacket(ipPacket(ends, UDP, data, [7, 0, true]))
    t.match(first, { protocol: UDP, fragment: { id: 7, offset: 0, more: true } })
    const last = readIpPacket(ipPacket(ends, UDP, data, [7, 1480, false]))
    t.match(last, { protocol: UDP, fragment: { id: 7, offset: 1480, more: false } })
    t.same(last?.payload, data)
  })
}

t.test('walks IPv6 extension headers of every kind to the transport', async (t) => {
  const tcp = readIpPacket(tcpPacket(ENDS6, 1, data))?.payload ?? Buffer.alloc(0)
  const options = (next: number) => Buffer.from([next, 0, 1, 4, 0, 0, 0, 0])
  const authentication = (next: number) => Buffer.concat([Buffer.from([next, 1]), Buffer.alloc(10)])
  const atomic = (next: number) => Buffer.from([next, 0, 0, 0, 0, 0, 0, 9])
  const chain = Buffer.concat([options(60), options(43), options(51), authentication(44), atomic(TCP), tcp])
  const packet = readIpPacket(ipPacket(ENDS6, 0, chain))
  t.equal(packet?.protocol, TCP)
  t.notOk(packet?.fragment, 'a fragment that is the whole is none')
  t.same(packet && readTcp(packet.payload)?.data, data)
  const endless = Buffer.concat(Array.from({ length: 40 }, () => options(60)))
  t.not(readIpPacket(ipPacket(ENDS6, 60, endless))?.protocol, TCP, 'an endless chain ends')
})

t.test('takes what is there where the length is left to the network card', async (t) => {
  const four = tcpPacket(ENDS, 1, data)
  four.writeUInt16BE(0, 2)
  t.same(readTcp(readIpPacket(four)?.payload ?? data)?.data, data)
  const six = tcpPacket(ENDS6, 1, data)
  six.writeUInt16BE(0, 4)
  t.same(readTcp(readIpPacket(six)?.payload ?? data)?.data, data)
})

t.test('finds IP behind a cooked header and the VLAN tags that it shows', async (t) => {
  const packet = tcpPacket(ENDS, 1, data)
  const frame = cooked(packet)
  t.same(ipOfCooked(frame), packet)
  const tagged = Buffer.concat([frame.subarray(0, 14), Buffer.from('88a80001810000020800', 'hex'), packet])
  t.same(ipOfCooked(tagged), packet)
  t.same(ipOfCooked(frame.subarray(0, 9)), Buffer.alloc(0))
})

t.test('no bytes make it throw', async () => {
  const read = (bytes: Buffer) => {
    const packet = readIpPacket(ipOfCooked(bytes)) ?? readIpPacket(bytes)
    return packet === undefined || [readTcp(packet.payload), readUdp(packet.payload)].length === 2
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => read(Buffer.from(bytes))))
  const valid = [tcpPacket(ENDS, 1, data), udpPacket(ENDS6, data), ipPacket(ENDS6, 0, Buffer.alloc(24))]
  fc.assert(
    fc.property(
      fc.constantFrom(...valid),
      fc.nat(80),
      fc.nat(79),
      fc.nat(255),
      (packet, length, at, value) => {
        const cut = Buffer.from(packet.subarray(0, length))
        if (at < cut.length) cut[at] = value
        return read(cut)
      },
    ),
  )
})
