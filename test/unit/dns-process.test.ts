/** The guard as a process of its own: its messages, its sockets, its end; and the datagram sockets beneath it. */
import { type ChildProcess, fork } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import dnsPacket from 'dns-packet'
import t from 'tap'
import { type Datagram, receiveDatagrams, sendDatagram } from '../../firewall/datagram-messages.ts'
import { closeDatagramSocket, openDatagramSocket } from '../../firewall/datagram-socket.ts'
import { deviceName } from '../../firewall/libc.ts'
import { closeListener, openListener } from '../../firewall/listening-socket.ts'
import { loadPolicy } from '../../policies/policy.ts'
import { shippedDirectory } from '../../policies/shipped.ts'
import { wireMessage } from './dns-wire-fixture.ts'

const main = new URL('../../daemon/dns-guard/main.ts', import.meta.url).pathname
const PORT = 18_953
const GOVERNED = 'api.openai.com'

/** Sends from a connected socket, so that only an answer from where it was sent to arrives. */
async function ask(address: string, bytes: Buffer, patienceMs = 3000): Promise<Buffer | undefined> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  const timeout = AbortSignal.timeout(patienceMs)
  try {
    socket.connect(PORT, address)
    await once(socket, 'connect')
    const answer = once(socket, 'message', { signal: timeout })
    socket.send(bytes)
    const [found] = await answer
    return found
  } catch {
    return undefined
  } finally {
    socket.close()
  }
}

t.test('a datagram’s answer leaves from the address that it came to', async (t) => {
  const sockets = [
    { fd: openDatagramSocket({ address: '0.0.0.0', port: PORT }), family: 4 },
    { fd: openDatagramSocket({ address: '::', port: PORT }), family: 6 },
  ] as const
  t.teardown(() => {
    for (const { fd } of sockets) closeDatagramSocket(fd)
  })
  const seen: Datagram[] = []
  const receiver = receiveDatagrams({
    sockets,
    maxSize: 64,
    received: (datagram) => {
      seen.push(datagram)
      sendDatagram(datagram.path, Buffer.concat([datagram.bytes, Buffer.from('!')]))
    },
  })
  t.teardown(() => receiver.stop())
  for (const address of ['127.0.0.1', '127.9.8.7', '::1']) {
    t.equal((await ask(address, Buffer.from('hello')))?.toString(), 'hello!', address)
    t.match(seen.at(-1), { local: address, client: { address: address.includes(':') ? '::1' : /^127/ } })
    t.equal(deviceName(seen.at(-1)?.path.device ?? 0), 'lo')
  }
  t.equal(await ask('127.0.0.1', Buffer.alloc(65), 200), undefined, 'longer ones are dropped')
  t.equal(
    (await ask('127.0.0.1', Buffer.alloc(0)))?.toString(),
    '!',
    'and don’t stop the next, nor do empty ones',
  )
  t.equal(deviceName(0xffff_fff), undefined)
  const taken = { code: 'port-taken', remedy: /ss -lunp/ }
  t.throws(() => openDatagramSocket({ address: '127.0.0.1', port: PORT }), taken)
  const squatter = createSocket({ type: 'udp4', reuseAddr: true })
  squatter.bind(PORT, '127.0.0.1')
  const [error] = await once(squatter, 'error')
  t.equal(error.code, 'EADDRINUSE', 'nobody can join in')
  squatter.close()
})

function start(t: Tap, change: object = {}) {
  const udp = openDatagramSocket({ address: '127.0.0.1', port: PORT })
  const tcp = openListener({ address: '127.0.0.1', port: PORT })
  const child = fork(main, [], {
    env: { PATH: '/usr/bin:/bin' },
    execArgv: ['--disable-warning=ExperimentalWarning'],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc', udp, tcp],
  })
  t.teardown(() => {
    child.kill('SIGKILL')
    closeDatagramSocket(udp)
    closeListener(tcp)
  })
  child.send({
    type: 'start',
    udp: [{ fd: 4, family: 4 }],
    tcp: [{ fd: 5, family: 4 }],
    rules: { ...loadPolicy({ dir: shippedDirectory, name: 'strict' }), ownHosts: [] },
    upstreams: ['127.0.0.1:9'],
    bridges: [],
    ...change,
  })
  return child
}

interface Tap {
  teardown(handler: () => void): unknown
}

type Message = Record<string, unknown>
const message = (child: ChildProcess, type: string) =>
  new Promise<Message>((resolve) => {
    child.on('message', (found: Message) => found.type === type && resolve(found))
  })
const question = (name: string) => wireMessage({ id: 3, flags: 0x0100, question: { name, type: 1 } })

t.test('it answers, asks to learn, tells refusals and its state, and stops when told', async (t) => {
  const upstream = createSocket('udp4')
  t.teardown(() => upstream.close())
  upstream.on('message', (bytes, from) => {
    const answers = [{ name: '@12', type: 1, data: Buffer.from([203, 0, 113, 9]) }]
    const reply = { id: bytes.readUInt16BE(0), question: { name: GOVERNED, type: 1 }, answers }
    upstream.send(wireMessage(reply), from.port, from.address)
  })
  upstream.bind(0, '127.0.0.1')
  await once(upstream, 'listening')
  const child = start(t, { upstreams: [`127.0.0.1:${upstream.address().port}`] })
  await message(child, 'ready')
  const [state, learn, refusal] = ['state', 'learn', 'refusal'].map((type) => message(child, type))
  const answer = ask('127.0.0.1', question(GOVERNED))
  const asked = await learn
  t.match(asked, { name: GOVERNED, entries: [{ address: '203.0.113.9', ttlSeconds: 60 }] })
  child.send({ type: 'learned', request: asked?.request })
  const bytes = await answer
  t.match(bytes && dnsPacket.decode(bytes), { id: 3, answers: [{ data: '203.0.113.9' }] })
  await ask('127.0.0.1', question('dns.google'))
  t.match(await refusal, {
    rule: 'strict/dns-resolver',
    name: 'dns.google',
    count: 1,
    client: { address: '127.0.0.1' },
  })
  t.match(await state, { failing: [], tcpClients: 0 })
  await message(child, 'beat')
  const ended = once(child, 'exit')
  child.send({ type: 'stop' })
  t.same(await ended, [0, null])
})

t.test('it ends with its supervisor', async (t) => {
  const orphan = start(t)
  await message(orphan, 'ready')
  const ended = once(orphan, 'exit')
  orphan.disconnect()
  t.same(await ended, [0, null])
})

t.test('it refuses a start message of another shape and says where', async (t) => {
  const child = start(t, { bridges: 'all' })
  let said = ''
  child.stderr?.on('data', (text) => {
    said += text
  })
  const [code] = await once(child, 'exit')
  t.not(code, 0)
  t.match(said, /bridges/)
})
