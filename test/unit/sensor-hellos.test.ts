import fc from 'fast-check'
import t from 'tap'
import { Fragments } from '../../daemon/sensor/fragments.ts'
import { QuicHellos } from '../../daemon/sensor/quic-hellos.ts'
import { Reassembly } from '../../daemon/sensor/reassembly.ts'
import { TcpHellos } from '../../daemon/sensor/tcp-hellos.ts'
import { type IpPacket, readIpPacket, readTcp, readUdp } from '../../daemon/wire/ip-packet.ts'
import {
  cryptoFrame,
  ENDS,
  ENDS6,
  type Ends,
  helloMessage,
  ipPacket,
  sealInitial,
  tcpPacket,
  tlsHello,
  udpPacket,
} from './sensor-fixture.ts'

const ID = Buffer.from('8394c8f03e515708', 'hex')

function parsed(bytes: Buffer): IpPacket {
  const packet = readIpPacket(bytes)
  if (!packet) throw new Error('no packet')
  return packet
}

function feedTcp(
  hellos: TcpHellos,
  sequence: number,
  data: Buffer,
  now = 0,
  ends: Ends = ENDS,
): string | undefined {
  const packet = parsed(tcpPacket(ends, sequence, data))
  const tcp = readTcp(packet.payload)
  return tcp && hellos.segment(packet, tcp, now)?.hello.name
}

function feedQuic(hellos: QuicHellos, datagram: Buffer, now = 0, ends: Ends = ENDS): (string | undefined)[] {
  const packet = parsed(udpPacket(ends, datagram))
  const udp = readUdp(packet.payload)
  return udp ? hellos.datagram(packet, udp, now).map(({ hello }) => hello.name) : []
}

const ignore = () => {}

t.test('pieces in any order, doubled and overlapping, give the bytes as they were', async () => {
  const whole = Buffer.from(Array.from({ length: 200 }, (_, i) => i))
  const piece = fc.tuple(fc.nat(199), fc.integer({ min: 1, max: 60 }))
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const reassembly = new Reassembly(200)
      const seen = new Set<number>()
      for (const [from, length] of pieces) {
        reassembly.add(from, whole.subarray(from, from + length))
        for (let at = from; at < Math.min(from + length, 200); at += 1) seen.add(at)
      }
      let reach = 0
      while (seen.has(reach)) reach += 1
      return reassembly.start().equals(whole.subarray(0, reach))
    }),
  )
})

t.test('keeps the first of two that differ, nothing past the limit, and few holes', async (t) => {
  const reassembly = new Reassembly(8)
  reassembly.add(0, Buffer.from('abc'))
  reassembly.add(1, Buffer.from('XXXX'))
  t.equal(reassembly.start().toString(), 'abcXX')
  reassembly.add(5, Buffer.from('defghijk'))
  t.equal(reassembly.start().toString(), 'abcXXdef')
  const scattered = new Reassembly(10_000)
  const added = Array.from({ length: 1000 }, (_, i) => scattered.add(i * 2 + 1, Buffer.from('x')))
  t.ok(added.includes(false))
  t.ok(scattered.add(0, Buffer.from('x')), 'what fills a hole is still taken')
})

for (const ends of [ENDS, ENDS6]) {
  t.test(`reads a ClientHello cut anywhere, in any order, towards ${ends.destination}`, async (t) => {
    const hello = tlsHello('api.openai.com')
    const base = 0xffff_ffc0
    const sequence = (at: number) => (base + at) % 2 ** 32
    for (let at = 1; at < hello.length; at += 1) {
      const forwards = new TcpHellos(ignore)
      t.equal(feedTcp(forwards, sequence(0), hello.subarray(0, at), 0, ends), undefined)
      t.equal(feedTcp(forwards, sequence(at), hello.subarray(at), 0, ends), 'api.openai.com', `cut at ${at}`)
      const backwards = new TcpHellos(ignore)
      t.equal(feedTcp(backwards, sequence(at), hello.subarray(at), 0, ends), undefined)
      t.equal(feedTcp(backwards, sequence(0), hello.subarray(0, at), 0, ends), 'api.openai.com')
    }
    const bytewise = new TcpHellos(ignore)
    const names = Array.from(hello, (byte, at) =>
      feedTcp(bytewise, sequence(at), Buffer.from([byte]), 0, ends),
    )
    t.equal(names.at(-1), 'api.openai.com')
  })
}

t.test('reads a ClientHello that begins in a SYN and ends in another segment', async (t) => {
  const hello = tlsHello('api.openai.com')
  const found = (backwards: boolean) => {
    const hellos = new TcpHellos(ignore)
    const segment = (sequence: number, data: Buffer, syn: boolean) => {
      const packet = readIpPacket(tcpPacket(ENDS, sequence, data))
      const tcp = packet && readTcp(packet.payload)
      return packet && tcp && hellos.segment(packet, { ...tcp, syn }, 0)?.hello.name
    }
    const first = () => segment(100, hello.subarray(0, 30), true)
    const second = () => segment(131, hello.subarray(30), false)
    return backwards ? [second(), first()] : [first(), second()]
  }
  t.same(found(false), [undefined, 'api.openai.com'])
  t.same(found(true), [undefined, 'api.openai.com'])
})

t.test('a repeated segment is not a second ClientHello; another connection is', async (t) => {
  const hellos = new TcpHellos(ignore)
  const hello = tlsHello('api.openai.com')
  t.equal(feedTcp(hellos, 5, hello), 'api.openai.com')
  t.equal(feedTcp(hellos, 5, hello), undefined)
  t.equal(feedTcp(hellos, 5_000_000, hello), 'api.openai.com')
})

t.test('what is no ClientHello is followed no further', async (t) => {
  const hellos = new TcpHellos(ignore)
  t.equal(feedTcp(hellos, 1, Buffer.from('GET / HTTP/1.1\r\n\r\n')), undefined)
  t.equal(feedTcp(hellos, 1000, Buffer.from('160303', 'hex')), undefined)
  t.equal(feedTcp(hellos, 1003, Buffer.alloc(40, 0xff)), undefined)
  t.equal(feedTcp(hellos, 2000, tlsHello('api.openai.com')), 'api.openai.com')
  t.equal(
    feedTcp(hellos, 3000, Buffer.from('140303000101', 'hex')),
    undefined,
    'a change of ciphers after it',
  )
  const fresh = { ...ENDS, sourcePort: 1234 }
  const late = Buffer.concat([Buffer.from('15030300020100', 'hex'), tlsHello('api.openai.com')])
  t.equal(feedTcp(hellos, 1, late, 0, fresh), 'api.openai.com', 'an alert before it')
})

t.test('a ClientHello that never ends is handed over for what it says so far', async (t) => {
  const found: (string | undefined)[] = []
  const hellos = new TcpHellos(({ hello }) => found.push(hello.name))
  const hello = tlsHello('api.openai.com')
  feedTcp(hellos, 1, hello.subarray(0, hello.length - 2), 1000)
  hellos.expire(3000)
  t.same(found, [])
  hellos.expire(7000)
  t.same(found, ['api.openai.com'])
})

t.test('holds no more than it may, and counts what goes', async (t) => {
  let abandoned = 0
  const hellos = new TcpHellos(() => {
    abandoned += 1
  })
  const beginning = tlsHello('api.openai.com').subarray(0, 20)
  for (let port = 1; port <= 1000; port += 1) feedTcp(hellos, 1, beginning, 0, { ...ENDS, sourcePort: port })
  t.equal(abandoned, 1000 - 256)
})

t.test('reads QUIC ClientHellos over several datagrams, in any order, once', async (t) => {
  const hello = helloMessage('api.openai.com', 1500)
  const datagram = (packetNumber: number, ...spans: [number, number][]) =>
    sealInitial({
      firstId: ID,
      packetNumber,
      frames: Buffer.concat(spans.map(([from, to]) => cryptoFrame(from, hello.subarray(from, to)))),
      payloadSize: 1100,
    })
  const end = hello.length
  const first = datagram(0, [300, 900], [0, 300])
  const second = datagram(1, [900, 1200], [1200, end])
  for (const order of [
    [first, second],
    [second, first],
    [second, second, first],
  ]) {
    const hellos = new QuicHellos(ignore, ignore)
    t.same(
      order.flatMap((each) => feedQuic(hellos, each)),
      ['api.openai.com'],
    )
    t.same(feedQuic(hellos, first), [], 'repeated')
  }
  const together = new QuicHellos(ignore, ignore)
  t.same(feedQuic(together, Buffer.concat([second, first])), ['api.openai.com'], 'both in one datagram')
})

t.test('an Initial is not hidden by what stands before it', async (t) => {
  const hello = helloMessage('api.openai.com')
  const part = (packetNumber: number, from: number, to?: number) =>
    sealInitial({ firstId: ID, packetNumber, frames: cryptoFrame(from, hello.subarray(from, to)) })
  const handshake = Buffer.from('e0000000010000024242', 'hex')
  const before = {
    'packets of other types': Buffer.concat(Array.from({ length: 100 }, () => handshake)),
    'bytes that are no packet': Buffer.alloc(300, 0x5a),
    'a long header of another version': Buffer.from('c0babababa08414243444546474800', 'hex'),
    'an Initial that says it is longer than it is': Buffer.from('c00000000100000041ff42', 'hex'),
  }
  for (const [what, bytes] of Object.entries(before)) {
    const hellos = new QuicHellos(ignore, ignore)
    const datagram = Buffer.concat([part(0, 0, 40), bytes, part(1, 40)])
    t.same(feedQuic(hellos, datagram), ['api.openai.com'], what)
  }
})

t.test('connections between the same ends do not hide each other, however many', async (t) => {
  let unread = 0
  const hellos = new QuicHellos(ignore, () => {
    unread += 1
  })
  const names = Array.from({ length: 20 }, (_, number) => `n${number}.example`)
  const connection = (name: string, number: number, to?: number) =>
    sealInitial({
      firstId: Buffer.from(`0123456789abcd${number.toString(16).padStart(2, '0')}`, 'hex'),
      packetNumber: 0,
      frames: cryptoFrame(0, helloMessage(name).subarray(0, to)),
    })
  t.same(
    names.flatMap((name, number) => feedQuic(hellos, connection(name, number))),
    names,
  )
  t.equal(unread, 0)
  for (const [number, name] of names.entries()) feedQuic(hellos, connection(name, 100 + number, 30))
  t.same(feedQuic(hellos, connection('last.example', 200)), ['last.example'])
  t.equal(unread, 17, 'those whose rest did not come in time are counted')
})

t.test('opens later Initials, which carry an id of the server, with the first ones’ keys', async (t) => {
  const hello = helloMessage('api.openai.com')
  const hellos = new QuicHellos(ignore, ignore)
  t.same(
    feedQuic(
      hellos,
      sealInitial({ firstId: ID, packetNumber: 0, frames: cryptoFrame(0, hello.subarray(0, 30)) }),
    ),
    [],
  )
  const destinationId = Buffer.from('aabbccdd', 'hex')
  const later = sealInitial({
    firstId: ID,
    destinationId,
    packetNumber: 1,
    frames: cryptoFrame(30, hello.subarray(30)),
  })
  t.same(feedQuic(hellos, later), ['api.openai.com'])
})

t.test('a flood of Initials costs a bounded number of openings a second', async (t) => {
  let unread = 0
  const hellos = new QuicHellos(ignore, () => {
    unread += 1
  })
  const datagram = sealInitial({
    firstId: ID,
    packetNumber: 0,
    frames: cryptoFrame(0, helloMessage('a.example')),
  })
  for (let port = 1; port <= 2100; port += 1) feedQuic(hellos, datagram, 500, { ...ENDS, sourcePort: port })
  t.equal(unread, 100)
  t.same(
    feedQuic(hellos, datagram, 1500, { ...ENDS, sourcePort: 5000 }),
    ['a.example'],
    'the next second is another',
  )
})

for (const ends of [ENDS, ENDS6]) {
  t.test(`puts fragments together in any order, towards ${ends.destination}`, async (t) => {
    const whole = udpPacket(ends, Buffer.alloc(3000, 'x'))
    const payload = parsed(whole).payload
    const pieces = [
      ipPacket(ends, 17, payload.subarray(0, 1400), [7, 0, true]),
      ipPacket(ends, 17, payload.subarray(1400, 2800), [7, 1400, true]),
      ipPacket(ends, 17, payload.subarray(2800), [7, 2800, false]),
    ]
    for (const order of [
      [0, 1, 2],
      [2, 0, 1],
      [1, 2, 0],
    ]) {
      const fragments = new Fragments(ignore)
      const results = order.map((i) => fragments.whole(parsed(pieces[i] ?? whole), 0))
      t.same(results.slice(0, 2), [undefined, undefined])
      t.same(results[2]?.payload, payload)
      t.equal(results[2]?.protocol, 17)
    }
    let abandoned = 0
    const fragments = new Fragments(() => {
      abandoned += 1
    })
    fragments.whole(parsed(pieces[0] ?? whole), 0)
    t.ok(fragments.whole(parsed(whole), 0), 'a whole packet passes')
    fragments.expire(10_000)
    t.equal(abandoned, 1)
  })
}
