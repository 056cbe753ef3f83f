import t from 'tap'
import type { FromSensor } from '../../daemon/sensor/messages.ts'
import { privilegeIn } from '../../daemon/sensor/privileges.ts'
import { Sensor, type SensorOptions } from '../../daemon/sensor/sensor.ts'
import { loadCatalogue } from '../../policies/catalogue.ts'
import { shippedDirectory } from '../../policies/shipped.ts'
import {
  cooked,
  cryptoFrame,
  ENDS,
  ENDS6,
  helloMessage,
  ipPacket,
  type LoggedAs,
  loggedPacket,
  sealInitial,
  tcpPacket,
  tlsHello,
  udpPacket,
} from './sensor-fixture.ts'

const PROXY = 4102
const NOBODY = { uids: [], gids: [], cgroups: [] }
const catalogue = loadCatalogue(`${shippedDirectory}/providers.yaml`)
const ID = Buffer.from('8394c8f03e515708', 'hex')
const initial = (name: string) =>
  sealInitial({ firstId: ID, packetNumber: 0, frames: cryptoFrame(0, helloMessage(name)) })

function watching(options: Partial<SensorOptions> = {}) {
  const said: FromSensor[] = []
  const sensor = new Sensor({
    catalogue,
    providerAddresses: [],
    proxyUid: PROXY,
    governed: { subjects: 'everyone', exempt: NOBODY },
    isWithinCgroup: () => false,
    socketOwner: () => undefined,
    isOwnAddress: (address) => address === '192.0.2.77',
    isBridge: (index) => index === 9,
    say: (message) => said.push(message),
    now: 0,
    ...options,
  })
  const sightings = () => said.filter((message) => message.type === 'sighting')
  const learned = () => said.filter((message) => message.type === 'learned')
  const strays = () => said.filter((message) => message.type === 'strayed')
  const questions = () => said.filter((message) => message.type === 'group')
  const hello = (now: number, ends = ENDS, name = 'api.openai.com') =>
    sensor.left(cooked(tcpPacket(ends, 1, tlsHello(name))), 'eth0', now)
  return { sensor, sightings, learned, strays, questions, hello }
}

t.test('a governed ClientHello of another user’s socket is a leak at once', async (t) => {
  const { hello, sightings, learned, strays } = watching({ socketOwner: () => ({ uid: 4001, inode: 7 }) })
  hello(10)
  t.match(sightings(), [
    {
      kind: 'leak',
      rule: 'tls-name',
      uid: 4001,
      client: { address: ENDS.source, port: ENDS.sourcePort },
      destination: { address: ENDS.destination, port: 443 },
      serverName: 'api.openai.com',
      via: 'eth0',
      count: 1,
    },
  ])
  t.same(learned(), [], 'anybody may call a governed name at any address')
  t.same(strays(), [{ type: 'strayed', uid: 4001, destination: { address: ENDS.destination, port: 443 } }])
})

t.test('the proxy’s own socket is none, and a name that nobody governs is nobody’s business', async (t) => {
  const own = watching({ socketOwner: () => ({ uid: PROXY, inode: 7 }) })
  own.hello(10)
  own.sensor.stop(10_000)
  t.same(own.sightings(), [])
  const foreign = watching({ socketOwner: () => ({ uid: 4001, inode: 7 }) })
  foreign.hello(10, ENDS, 'www.example')
  foreign.sensor.stop(10_000)
  t.same(foreign.sightings(), [])
})

t.test('a sender whose group is exempt is left alone once the group is told', async (t) => {
  const exempt = { ...NOBODY, gids: [70] }
  const asking = () => {
    const seen = watching({
      socketOwner: () => ({ uid: 4001, inode: 7 }),
      governed: { subjects: 'everyone', exempt },
    })
    seen.hello(10)
    t.same(seen.sightings(), [], 'nothing is said before')
    return seen
  }
  const free = asking()
  t.match(free.questions(), [{ question: 1, inode: 7 }])
  free.sensor.group(1, 70, 20)
  free.sensor.stop(10_000)
  t.same(free.sightings(), [])
  const governed = asking()
  governed.sensor.group(1, 71, 20)
  t.match(governed.sightings(), [{ kind: 'leak', uid: 4001 }])
  const untold = asking()
  untold.sensor.group(1, undefined, 20)
  t.match(untold.sightings(), [{ kind: 'leak', uid: 4001 }], 'who holds it could not be found')
  const unanswered = asking()
  unanswered.sensor.tick(5100)
  t.match(unanswered.sightings(), [{ kind: 'leak', uid: 4001 }], 'nor is an answer waited for for ever')
  const gone = watching({ governed: { subjects: 'everyone', exempt } })
  gone.hello(10)
  gone.sensor.stop(10_000)
  t.match(
    gone.sightings(),
    [{ kind: 'leak', uid: undefined }],
    'who is gone can not be told, and is not left alone',
  )
})

t.test('a socket that is gone waits two seconds for the proxy’s report', async (t) => {
  const flow = {
    local: { address: ENDS.source, port: ENDS.sourcePort },
    remote: { address: ENDS.destination, port: 443 },
  }
  const reportedLater = watching()
  reportedLater.hello(1000)
  reportedLater.sensor.tick(2900)
  reportedLater.sensor.dialled([flow], 2950)
  reportedLater.sensor.tick(4000)
  t.same(reportedLater.sightings(), [])

  const reportedBefore = watching()
  reportedBefore.sensor.dialled(
    [{ ...flow, local: { ...flow.local, address: `::ffff:${ENDS.source}` } }],
    500,
  )
  reportedBefore.hello(1000)
  reportedBefore.sensor.tick(4000)
  t.same(reportedBefore.sightings(), [])

  const unreported = watching()
  unreported.hello(1000)
  unreported.sensor.dialled([{ ...flow, local: { ...flow.local, port: 1 } }], 1500)
  unreported.sensor.tick(2900)
  t.same(unreported.sightings(), [])
  unreported.sensor.tick(3000)
  t.match(unreported.sightings(), [{ rule: 'tls-name', count: 1 }])
  t.notOk('uid' in (unreported.sightings()[0] ?? {}))

  const stopped = watching()
  stopped.hello(1000)
  stopped.sensor.stop(1001)
  t.equal(stopped.sightings().length, 1, 'an ordered stop waits for nothing')
})

t.test('the kernel’s word goes before the proxy’s: who reuses its ends is somebody else', async (t) => {
  const { sensor, hello, sightings } = watching({ socketOwner: () => ({ uid: 4001, inode: 7 }) })
  sensor.dialled(
    [
      {
        local: { address: ENDS.source, port: ENDS.sourcePort },
        remote: { address: ENDS.destination, port: 443 },
      },
    ],
    0,
  )
  hello(1)
  t.match(sightings(), [{ uid: 4001 }])
})

t.test(
  'the proxy’s connection whose source address this machine translated is known by its port',
  async (t) => {
    const flow = {
      local: { address: ENDS.source, port: ENDS.sourcePort },
      remote: { address: ENDS.destination, port: 443 },
    }
    const own = watching()
    own.sensor.dialled([flow], 0)
    own.hello(1, { ...ENDS, source: '192.0.2.77' })
    own.sensor.stop(5000)
    t.same(own.sightings(), [])
    const container = watching()
    container.sensor.dialled([flow], 0)
    container.hello(1, { ...ENDS, source: '172.17.0.2' })
    container.sensor.stop(5000)
    t.equal(container.sightings().length, 1, 'but not behind somebody else’s address')
  },
)

t.test(
  'a hello to a provider’s address counts without a governed name, also addresses learned later',
  async (t) => {
    const { sensor, hello, sightings } = watching({ socketOwner: () => ({ uid: 4001, inode: 7 }) })
    hello(1, ENDS6, 'front.example')
    t.same(sightings(), [])
    sensor.addresses([ENDS6.destination])
    const nameless = tcpPacket({ ...ENDS6, sourcePort: 2 }, 1, tlsHello(undefined))
    sensor.left(cooked(nameless), 'eth0', 2)
    t.match(sightings(), [{ rule: 'tls-address', destination: { address: ENDS6.destination } }])
  },
)

t.test('a governed QUIC Initial is a leak, whoever sent it', async (t) => {
  const { sensor, sightings } = watching()
  sensor.left(cooked(udpPacket(ENDS6, initial('api.anthropic.com'))), 'tun0', 5)
  t.match(sightings(), [{ kind: 'leak', rule: 'quic-name', protocol: 'quic', via: 'tun0' }])
})

const logged = (packet: Buffer, as: LoggedAs) => loggedPacket(packet, as)

t.test('names rule, sender and destination of what was refused, for every protocol', async (t) => {
  const { sensor, sightings } = watching()
  const see = (packet: Buffer, as: LoggedAs) => sensor.refused(logged(packet, as), 71, 5)
  see(tcpPacket(ENDS, 1, Buffer.alloc(0), 2), { prefix: 'aa:tcp ', uid: 4001, gid: 5 })
  see(udpPacket(ENDS6, initial('api.openai.com')), { prefix: 'aa:quic ', uid: 4001 })
  see(ipPacket(ENDS, 47, Buffer.alloc(8)), { prefix: 'aa:other ', uid: 0 })
  see(ipPacket(ENDS, 253, Buffer.alloc(8)), { prefix: 'aa:other ', hook: 2 })
  see(udpPacket(ENDS, Buffer.from('x')), { prefix: 'aa:seen-udp ', uid: 4001 })
  see(Buffer.from('not ip'), { prefix: 'aa:egress-frame ' })
  see(udpPacket(ENDS, Buffer.from('x')), { prefix: "somebody else's " })
  const destination = { address: ENDS.destination, port: 443 }
  t.match(sightings(), [
    { kind: 'refused', rule: 'tcp', protocol: 'tcp', uid: 4001, gid: 5, destination, via: 'kernel' },
    {
      rule: 'quic',
      protocol: 'quic',
      serverName: 'api.openai.com',
      destination: { address: ENDS6.destination },
    },
    { rule: 'other', protocol: 'gre', uid: 0, destination: { ...destination, port: 0 } },
    { rule: 'other', protocol: 'ip-253' },
    { kind: 'leak', rule: 'seen-udp', reason: /seen, not refused/ },
    { rule: 'egress-frame', protocol: 'frame', destination: { address: '0.0.0.0', port: 0 } },
    { kind: 'refused', rule: 'unknown' },
  ])
  t.notOk('uid' in (sightings()[3] ?? {}), 'what was forwarded has no uid')
})

t.test('numbers that are missing in the kernel’s log are counted, each group by itself', async (t) => {
  const { sensor } = watching()
  const packet = udpPacket(ENDS, Buffer.from('x'))
  const see = (group: number, sequence: number) => sensor.refused(logged(packet, { sequence }), group, 5)
  see(71, 0xffff_fffe)
  see(72, 5)
  see(71, 0xffff_ffff)
  see(71, 0)
  t.equal(sensor.missing, 0, 'numbers begin anew at 2^32')
  see(71, 4)
  see(72, 7)
  t.equal(sensor.missing, 4)
})

const label = (text: string) => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)])
function dnsAnswer(name: string, address: string): Buffer {
  const header = Buffer.from('000181800001000100000000', 'hex')
  const asked = Buffer.concat([...name.split('.').map(label), Buffer.from([0, 0, 1, 0, 1])])
  const record = Buffer.from('c00c00010001000000780004', 'hex')
  return Buffer.concat([header, asked, record, Buffer.from(address.split('.').map(Number))])
}
const FROM_DNS = { ...ENDS, source: '9.9.9.9', sourcePort: 53, destinationPort: 40_000 }

t.test('learns what a DNS answer says of a governed name, over UDP and TCP, once a second', async (t) => {
  const { sensor, learned } = watching()
  const answer = dnsAnswer('x.openai.azure.com', '203.0.113.5')
  sensor.answered(logged(udpPacket(FROM_DNS, answer), {}), 72, 1000)
  t.match(learned(), [
    {
      name: 'x.openai.azure.com',
      server: '9.9.9.9',
      entries: [{ address: '203.0.113.5', ttlSeconds: 120 }],
    },
  ])
  sensor.answered(logged(udpPacket(FROM_DNS, answer), {}), 72, 1500)
  t.equal(learned().length, 1)
  sensor.answered(logged(udpPacket(FROM_DNS, answer), {}), 72, 2000)
  t.equal(learned().length, 2)

  const two = [dnsAnswer('y.openai.azure.com', '203.0.113.6'), dnsAnswer('z.openai.azure.com', '203.0.113.7')]
  const stream = Buffer.concat(
    two.flatMap((each) => [Buffer.from([each.length >> 8, each.length & 255]), each]),
  )
  const see = (sequence: number, data: Buffer, flags?: number) =>
    sensor.answered(logged(tcpPacket(FROM_DNS, sequence, data, flags), {}), 72, 5000)
  see(0xffff_ffff, Buffer.alloc(0), 0x12)
  see(30, stream.subarray(30))
  see(0, stream.subarray(0, 1))
  see(1, stream.subarray(1, 30))
  t.same(
    learned()
      .slice(2)
      .map(({ name }) => name),
    ['y.openai.azure.com', 'z.openai.azure.com'],
  )
})

t.test('learns nothing from containers, of other names, and no address that is no server’s', async (t) => {
  const { sensor, learned } = watching()
  const see = (message: Buffer, as: LoggedAs = {}) =>
    sensor.answered(logged(udpPacket(FROM_DNS, message), as), 72, 5)
  see(dnsAnswer('api.openai.com', '203.0.113.5'), { inputDevice: 9 })
  see(dnsAnswer('www.example', '203.0.113.5'))
  for (const address of ['0.0.0.0', '127.0.0.1', '169.254.169.254', '224.0.0.1', '255.255.255.255'])
    see(dnsAnswer('api.openai.com', address))
  t.same(learned(), [])
  see(dnsAnswer('api.openai.com', '10.1.2.3'), { inputDevice: 8 })
  t.equal(learned().length, 1, 'a private link has a private address')
})

t.test('what can’t be read is counted', async (t) => {
  const { sensor } = watching()
  sensor.refused(Buffer.from('?'), 71, 1)
  sensor.answered(Buffer.from('?'), 72, 1)
  sensor.left(cooked(tcpPacket(ENDS, 1, tlsHello('api.openai.com').subarray(0, 30))), 'eth0', 1)
  sensor.stop(10)
  t.equal(sensor.unread, 3)
})

t.test('sees whatever of root’s is left in a thread', async (t) => {
  const status = (changes: Record<string, string> = {}) =>
    Object.entries({
      Name: 'node',
      Uid: '1500\t1500\t1500\t1500',
      Gid: '1501\t1501\t1501\t1501',
      Groups: ' ',
      CapInh: '0000000000000000',
      CapPrm: '0000000000000000',
      CapEff: '0000000000000000',
      CapBnd: '00000000000030c0',
      CapAmb: '0000000000000000',
      NoNewPrivs: '1',
      ...changes,
    })
      .map(([name, value]) => `${name}:\t${value}\n`)
      .join('')
  t.equal(privilegeIn(status(), 1500, 1501), undefined)
  for (const change of [
    { Uid: '1500\t0\t1500\t1500' },
    { Gid: '0\t1501\t1501\t1501' },
    { Groups: '0 ' },
    { CapPrm: '0000000000002000' },
    { CapEff: '0000000000001000' },
    { CapInh: '0000000000001000' },
    { CapAmb: '0000000000001000' },
    { NoNewPrivs: '0' },
  ]) {
    t.match(privilegeIn(status(change), 1500, 1501), Object.keys(change)[0])
  }
  t.match(privilegeIn('', 1500, 1501), /not told/)
})
