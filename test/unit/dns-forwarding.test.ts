/** Upstream servers and TCP clients over loopback sockets. */
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import t from 'tap'
import { Admission } from '../../daemon/dns-guard/admission.ts'
import { exchange, prefixed } from '../../daemon/dns-guard/exchange.ts'
import { Forwarder } from '../../daemon/dns-guard/forwarder.ts'
import { TcpClients, type TcpOptions } from '../../daemon/dns-guard/tcp-clients.ts'
import { chooseUpstreams, type Surroundings, type Upstream } from '../../daemon/dns-guard/upstreams.ts'
import { type Query, readQuery } from '../../daemon/wire/dns-query.ts'
import { type WireMessage, wireMessage } from './dns-wire-fixture.ts'

type Reply = (bytes: Buffer, from: RemoteInfo, socket: UdpSocket) => void

async function udpServer(
  t: Tap,
  reply: Reply,
): Promise<Upstream & { readonly asked: { id: number; port: number }[] }> {
  const socket = createSocket('udp4')
  t.teardown(() => socket.close())
  const asked: { id: number; port: number }[] = []
  socket.on('message', (bytes, from) => {
    asked.push({ id: bytes.readUInt16BE(0), port: from.port })
    reply(bytes, from, socket)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return { address: '127.0.0.1', port: socket.address().port, local: true, asked }
}

interface Tap {
  teardown(handler: () => void): unknown
}

const question = { name: 'example.org', type: 1 }
function query(name = 'example.org'): Query {
  const read = readQuery(wireMessage({ flags: 0x0100, question: { name, type: 1 } }))
  if (read === undefined || Buffer.isBuffer(read)) throw new Error('no query')
  return read
}
const answer = (id: number, change: Partial<WireMessage> = {}) =>
  wireMessage({
    id,
    question,
    answers: [{ name: '@12', type: 1, data: Buffer.from([192, 0, 2, 1]) }],
    ...change,
  })
const good: Reply = (bytes, from, socket) => {
  try {
    socket.send(answer(bytes.readUInt16BE(0)), from.port, from.address)
  } catch {
    // Late, and the test is over.
  }
}
const never = new AbortController().signal

t.test('each question has a port and an id of its own', async (t) => {
  const server = await udpServer(t, good)
  const found = await Promise.all(Array.from({ length: 8 }, () => exchange(server, query(), 'udp', never)))
  t.match(found[0], { answers: [{ type: 1 }] })
  t.ok(new Set(server.asked.map(({ port }) => port)).size >= 7)
  t.ok(new Set(server.asked.map(({ id }) => id)).size >= 7)
})

t.test('answers that don’t fit are passed over, and many of them end the try', async (t) => {
  const patient = await udpServer(t, (bytes, from, socket) => {
    const id = bytes.readUInt16BE(0)
    for (const stray of [
      answer(id ^ 1),
      answer(id, { question: { name: 'evil.org', type: 1 } }),
      Buffer.from('noise'),
    ])
      socket.send(stray, from.port, from.address)
    socket.send(answer(id), from.port, from.address)
  })
  t.match(await exchange(patient, query(), 'udp', never), { question: { name: 'example.org' } })
  const guesser = await udpServer(t, (bytes, from, socket) => {
    const id = bytes.readUInt16BE(0)
    for (let i = 1; i <= 40; i += 1) socket.send(answer(id ^ i), from.port, from.address)
  })
  await t.rejects(exchange(guesser, query(), 'udp', never), { code: 'upstream-failed', message: /not asked/ })
})

t.test('an answer from another server than the one asked never arrives', async (t) => {
  const forger = createSocket('udp4')
  t.teardown(() => forger.close())
  const server = await udpServer(t, (bytes, from, socket) => {
    forger.send(answer(bytes.readUInt16BE(0), { answers: [] }), from.port, from.address)
    setTimeout(() => good(bytes, from, socket), 30)
  })
  t.match(await exchange(server, query(), 'udp', never), { answers: [{ type: 1 }] })
})

t.test('a port where nobody listens fails at once, by UDP and TCP', async (t) => {
  const server = await udpServer(t, () => {})
  const closed = { ...server, port: 9 }
  // Whoever waits here waits for ever: nothing cuts it off.
  await t.rejects(exchange(closed, query(), 'udp', never), { code: 'upstream-failed' })
  await t.rejects(exchange(closed, query(), 'tcp', never), { code: 'upstream-failed' })
})

t.test('over TCP an answer may come in pieces, and a wrong one is none', async (t) => {
  let wrong = false
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', async (bytes: Buffer) => {
      const reply = prefixed(answer(bytes.readUInt16BE(2) ^ (wrong ? 1 : 0)))
      for (const piece of [reply.subarray(0, 1), reply.subarray(1, 20), reply.subarray(20)]) {
        socket.write(piece)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    })
  })
  t.teardown(() => server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const upstream = { address: '127.0.0.1', port: (server.address() as AddressInfo).port, local: true }
  t.match(await exchange(upstream, query(), 'tcp', never), { answers: [{ type: 1 }] })
  wrong = true
  await t.rejects(exchange(upstream, query(), 'tcp', never), { code: 'upstream-failed' })
})

const forwarder = (servers: Upstream[], totalMs = 1000, nextAfterMs = 50) =>
  new Forwarder({ upstreams: () => servers, exchange, totalMs, nextAfterMs })

t.test('a silent server is passed over, and asked last from then on', async (t) => {
  const silent = await udpServer(t, () => {})
  const second = await udpServer(t, good)
  const through = forwarder([silent, second])
  t.match(await through.ask(query(), 'udp'), { answers: [{ type: 1 }] })
  t.same(through.failing, [`127.0.0.1 port ${silent.port}`])
  const before = silent.asked.length
  await through.ask(query(), 'udp')
  t.equal(silent.asked.length, before)
})

t.test('a late answer still counts', async (t) => {
  const late = await udpServer(t, (bytes, from, socket) => setTimeout(() => good(bytes, from, socket), 120))
  t.match(await forwarder([late]).ask(query(), 'udp'), { answers: [{ type: 1 }] })
})

t.test('a server’s failure is answered only when the others do no better', async (t) => {
  const failing = await udpServer(t, (bytes, from, socket) =>
    socket.send(answer(bytes.readUInt16BE(0), { flags: 0x8182, answers: [] }), from.port, from.address),
  )
  const second = await udpServer(t, good)
  t.match(await forwarder([failing, second]).ask(query(), 'udp'), { flags: 0x8180 })
  t.match(await forwarder([failing]).ask(query(), 'udp'), { flags: 0x8182 })
  const missing = await udpServer(t, (bytes, from, socket) =>
    socket.send(answer(bytes.readUInt16BE(0), { flags: 0x8183, answers: [] }), from.port, from.address),
  )
  t.match(
    await forwarder([missing, second]).ask(query(), 'udp'),
    { flags: 0x8183 },
    'no such name is an answer',
  )
})

t.test('silence ends after a bounded time and number of tries', async (t) => {
  const silent = await udpServer(t, () => {})
  await t.rejects(forwarder([silent], 400).ask(query(), 'udp'), {
    code: 'upstream-failed',
    remedy: /dns.upstreams/,
  })
  t.equal(silent.asked.length, 4)
  await t.rejects(forwarder([]).ask(query(), 'udp'), { message: /no name server/ })
})

function surroundings(files: Record<string, string>): Surroundings {
  return { read: (path) => files[path], addresses: () => new Set(['127.0.0.1', '::1', '192.0.2.2']) }
}
const listed = (configured: string[], files: Record<string, string>) =>
  chooseUpstreams(configured, surroundings(files)).map(({ address, port }) => `${address} ${port}`)

t.test('upstreams are the machine’s own, what stands behind its stub, or the configured', async (t) => {
  const RESOLV = '/etc/resolv.conf'
  const plain = {
    [RESOLV]:
      '# nameserver 9.9.9.9\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver x\noptions edns0\n',
  }
  t.same(listed([], plain), ['192.0.2.53 53', 'fe80::1%eth0 53'])
  const stub = { [RESOLV]: 'nameserver 127.0.0.53\n' }
  t.same(
    listed([], {
      ...stub,
      '/run/systemd/resolve/resolv.conf': 'nameserver 192.0.2.53\nnameserver 192.0.2.54\n',
    }),
    ['192.0.2.53 53', '192.0.2.54 53'],
  )
  t.same(
    listed([], {
      [RESOLV]: 'nameserver 192.0.2.2\n',
      '/run/dnsmasq/resolv.conf': 'nameserver 198.51.100.1\n',
    }),
    ['198.51.100.1 53'],
    'a local server on another address',
  )
  t.same(listed([], { [RESOLV]: 'nameserver 127.0.0.1\nnameserver 198.51.100.1\n' }), ['198.51.100.1 53'])
  t.match(
    chooseUpstreams([], surroundings(stub)),
    [{ address: '127.0.0.53', local: true }],
    'a stub with nothing behind it is asked itself',
  )
  t.same(listed([], {}), [])
  t.same(listed(['127.0.0.1', '192.0.2.9:5353', '[2001:db8::1]:54', '192.0.2.9:0', 'name'], plain), [
    '127.0.0.1 53',
    '192.0.2.9 5353',
    '2001:db8::1 54',
  ])
})

t.test('who asks by another device than loopback or a bridge isn’t answered', async (t) => {
  const names = ['', 'lo', 'eth0', 'docker0', 'br-1234', 'br']
  const admission = new Admission(['docker0', 'br-*'], {
    name: (index) => names[index],
    holding: (address) => (address === '198.51.100.1' ? 'br-1234' : 'eth0'),
  })
  t.same(
    [1, 2, 3, 4, 5, 6].map((index) => admission.byDevice(index)),
    [true, false, true, true, false, false],
  )
  t.same(
    ['127.0.0.1', '::1', '198.51.100.1', '192.0.2.2'].map((a) => admission.byAddress(a)),
    [true, true, true, false],
  )
})

async function tcpServer(t: Tap, options: Partial<TcpOptions> = {}) {
  const clients = new TcpClients({
    answer: async (bytes) => (bytes.length < 12 ? undefined : Buffer.concat([bytes, Buffer.from('!')])),
    admits: () => true,
    ...options,
  })
  const server = createServer({ allowHalfOpen: true }, (socket) => clients.accept(socket))
  t.teardown(() => {
    clients.closeAll()
    server.close()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const dial = () => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.on('error', () => {})
    const received: Buffer[] = []
    socket.on('data', (chunk) => received.push(chunk))
    const closed = once(socket, 'close')
    return { socket, closed, text: () => Buffer.concat(received).toString('latin1') }
  }
  return { clients, dial }
}

const padded = (text: string) => Buffer.from(text.padEnd(12, '.'))
const until = async (condition: () => boolean) => {
  for (const end = Date.now() + 3000; !condition(); ) {
    if (Date.now() > end) throw new Error('not within 3 s')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

t.test('a TCP client may ask several questions at once, in any pieces, and close its half', async (t) => {
  const held = Promise.withResolvers<void>()
  const { dial } = await tcpServer(t, {
    answer: async (bytes) => {
      if (bytes.includes('slow')) await held.promise
      return bytes
    },
  })
  const { socket, closed, text } = dial()
  const bytes = Buffer.concat([prefixed(padded('slow')), prefixed(padded('quick'))])
  for (const byte of bytes) socket.write(Buffer.from([byte]))
  socket.end()
  await until(() => text().includes('quick'))
  t.notOk(text().includes('slow'), 'answers come as they are ready')
  held.resolve()
  await closed
  t.ok(text().includes('slow'))
  t.equal(text().length, bytes.length)
})

t.test('a TCP client is closed when it is idle, says what is no question, or isn’t admitted', async (t) => {
  const { dial, clients } = await tcpServer(t, { idleMs: 60 })
  await dial().closed
  const noisy = dial()
  noisy.socket.write(prefixed(Buffer.from('x')))
  await noisy.closed
  t.equal(clients.size, 0)
  const stranger = (await tcpServer(t, { admits: () => false })).dial()
  await stranger.closed
  t.pass()
})

t.test('a full house closes whoever has been idle longest', async (t) => {
  const { dial, clients } = await tcpServer(t, { limits: { connections: 10, ofClient: 2 } })
  const first = dial()
  await until(() => clients.size === 1)
  const second = dial()
  await until(() => clients.size === 2)
  first.socket.write(prefixed(padded('still here')))
  await until(() => first.text().length > 0)
  const third = dial()
  await second.closed
  third.socket.write(prefixed(padded('me too')))
  await until(() => third.text().length > 0)
  t.equal(clients.size, 2)
})

t.test('a client with many questions under way is read no further meanwhile', async (t) => {
  let asked = 0
  const held = Promise.withResolvers<void>()
  const { dial } = await tcpServer(t, {
    answer: async (bytes) => {
      asked += 1
      await held.promise
      return bytes
    },
  })
  const { socket, text } = dial()
  for (let i = 0; i < 100; i += 1) socket.write(prefixed(padded(`q${i}`)))
  await until(() => asked >= 32)
  await new Promise((resolve) => setTimeout(resolve, 30))
  t.equal(asked, 32)
  held.resolve()
  await until(() => text().length === 1400)
  t.equal(asked, 100)
})
