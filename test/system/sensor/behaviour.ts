import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { privilegeIn } from '../../../daemon/sensor/privileges.ts'
import type { SensorSighting } from '../../../daemon/supervisor/sensor-process.ts'
import { cryptoFrame, helloMessage, sealInitial, tlsHello } from '../../unit/sensor-fixture.ts'
import { AGENT_UID, FOREIGN, LLM, PROXY_UID } from '../firewall/places.ts'
import { makeWorld, message, nftScript, startRole } from '../firewall/world.ts'
import { ANSWERED, SENSOR_GID, SENSOR_UID } from './places.ts'
import { ID, pause, quic, Sender, startWorld, totalOf, until } from './world.ts'

const RULES = `
table inet test {
  chain output { type filter hook output priority 10; policy accept;
    udp dport 9999 log prefix "aa:udp " group 71 drop
    udp dport 443 meta skuid 4444 log prefix "aa:quic " group 71 reject
    tcp dport 9999 log prefix "aa:tcp " group 71 reject with tcp reset
    udp dport 9997 log prefix "aa:other " group 71 drop
    udp dport 9998 log prefix "aa:seen-udp " group 71
  }
  chain input { type filter hook input priority 10; policy accept;
    udp sport 53 log group 72
    tcp sport 53 log group 72
  }
}
`
export async function prove(script: string): Promise<void> {
  makeWorld()
  nftScript(RULES)
  const servers = startRole(script, 'servers', { namespace: 'internet' })
  await message(servers)
  const agent = new Sender(script, { uid: AGENT_UID })
  const proxy = new Sender(script, { uid: PROXY_UID })
  const browser = new Sender(script, { uid: 4444 })
  const container = new Sender(script, { namespace: 'container' })
  const { sensor, sightings, learned, strays, states, stop } = startWorld()
  t.teardown(async () => {
    for (const each of [agent, proxy, browser, container]) each.stop()
    servers.disconnect()
    await stop()
  })
  await sensor.ready
  const find = (matches: (sighting: SensorSighting) => boolean) => until(() => sightings.find(matches))

  t.test('reads packets under its own account, without any privilege in any thread', async (t) => {
    const pid = sensor.state().pid
    const threads = readdirSync(`/proc/${pid}/task`)
    t.ok(threads.length > 1)
    for (const thread of threads) {
      const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')
      t.equal(privilegeIn(status, SENSOR_UID, SENSOR_GID), undefined)
    }
    t.same((await until(() => states.at(-1)))?.blind, [])
  })

  t.test('says who was refused what, the first at once and the rest as exact counts', async (t) => {
    await agent.send({ protocol: 'udp', address: FOREIGN[4], port: 9999, pieces: [Buffer.from('x')] })
    const first = await find(({ rule }) => rule === 'udp')
    t.match(first, {
      kind: 'refused',
      protocol: 'udp',
      uid: AGENT_UID,
      gid: AGENT_UID,
      destination: { address: FOREIGN[4], port: 9999 },
      via: 'kernel',
      count: 1,
    })
    t.ok(first && Date.now() - first.from < 2000)
    await agent.send({ protocol: 'tcp', address: FOREIGN[6], port: 9999, pieces: [Buffer.from('x')] })
    t.match(await find(({ rule }) => rule === 'tcp'), {
      protocol: 'tcp',
      uid: AGENT_UID,
      destination: { address: FOREIGN[6], port: 9999 },
    })
    const { refused } = await agent.send({
      protocol: 'udp',
      address: FOREIGN[4],
      port: 9999,
      pieces: [Buffer.from('x')],
      times: 500,
    })
    t.equal(refused, 500)
    await until(() => (totalOf(sightings, 'udp') >= 501 ? true : undefined), 25_000)
    t.equal(totalOf(sightings, 'udp'), 501)
  })

  t.test('what is seen where nothing is refused is a leak', async (t) => {
    await agent.send({ protocol: 'udp', address: FOREIGN[4], port: 9998, pieces: [Buffer.from('x')] })
    t.match(await find(({ rule }) => rule === 'seen-udp'), { kind: 'leak', uid: AGENT_UID })
  })

  t.test('reads the name in a refused QUIC packet', async (t) => {
    await browser.send({
      protocol: 'udp',
      address: FOREIGN[6],
      port: 443,
      pieces: [quic('api.anthropic.com')],
    })
    t.match(await find(({ rule }) => rule === 'quic'), {
      kind: 'refused',
      protocol: 'quic',
      uid: 4444,
      serverName: 'api.anthropic.com',
      destination: { address: FOREIGN[6], port: 443 },
    })
  })

  for (const family of [4, 6] as const) {
    t.test(
      `sees a governed ClientHello that leaves past the proxy over IPv${family}, and whose it is`,
      async (t) => {
        const { localPort } = await agent.send({
          protocol: 'tcp',
          address: FOREIGN[family],
          port: 8443,
          pieces: [tlsHello('api.openai.com')],
          stay: true,
        })
        const leak = await find(({ client }) => client?.port === localPort)
        t.match(leak, {
          kind: 'leak',
          rule: 'tls-name',
          uid: AGENT_UID,
          serverName: 'api.openai.com',
          destination: { address: FOREIGN[family], port: 8443 },
          via: 'uplink',
        })
        t.match(
          strays.find(({ destination }) => destination.address === FOREIGN[family]),
          { uid: AGENT_UID, destination: { port: 8443 } },
        )
      },
    )

    t.test(`puts a ClientHello together that was cut up, IPv${family}`, async (t) => {
      const hello = tlsHello(`cut${family}.openai.azure.com`)
      const pieces = [hello.subarray(0, 1), hello.subarray(1, 60), hello.subarray(60, 61), hello.subarray(61)]
      await agent.send({ protocol: 'tcp', address: FOREIGN[family], port: 8443, pieces, stay: true })
      t.match(await find(({ serverName }) => serverName === `cut${family}.openai.azure.com`), {
        rule: 'tls-name',
        uid: AGENT_UID,
      })
    })

    for (const version of [1, 2] as const) {
      t.test(`sees a governed QUIC version ${version} Initial over IPv${family}`, async (t) => {
        const name = `q${version}-${family}.openai.azure.com`
        await agent.send({
          protocol: 'udp',
          address: FOREIGN[family],
          port: 8443,
          pieces: [quic(name, version)],
        })
        t.match(await find(({ serverName }) => serverName === name), {
          kind: 'leak',
          rule: 'quic-name',
          protocol: 'quic',
        })
      })
    }

    t.test(`a QUIC datagram in IPv${family} fragments is read too`, async (t) => {
      const name = `fragments${family}.openai.azure.com`
      const frames = Buffer.concat([cryptoFrame(0, helloMessage(name))])
      const large = sealInitial({ firstId: ID, packetNumber: 0, frames, payloadSize: 2500 })
      await agent.send({ protocol: 'udp', address: FOREIGN[family], port: 8443, pieces: [large] })
      t.match(await find(({ serverName }) => serverName === name), { rule: 'quic-name' })
    })
  }

  t.test('a QUIC ClientHello in two datagrams, the second first', async (t) => {
    const hello = helloMessage('two.openai.azure.com', 1500)
    const piece = (packetNumber: number, from: number, to: number) =>
      sealInitial({
        firstId: ID,
        packetNumber,
        frames: cryptoFrame(from, hello.subarray(from, to)),
        payloadSize: 1150,
      })
    const pieces = [piece(1, 900, hello.length), piece(0, 0, 900)]
    // Where somebody listens: a refusal of the first would keep the second from leaving.
    await agent.send({ protocol: 'udp', address: FOREIGN[4], port: 53, pieces })
    t.ok(await find(({ serverName }) => serverName === 'two.openai.azure.com'))
  })

  t.test("a ClientHello to a provider's address counts whatever it names", async (t) => {
    await agent.send({
      protocol: 'tcp',
      address: LLM[4],
      port: 8443,
      pieces: [tlsHello('front.example')],
      stay: true,
    })
    t.match(await find(({ serverName }) => serverName === 'front.example'), {
      rule: 'tls-address',
      uid: AGENT_UID,
    })
    await agent.send({
      protocol: 'tcp',
      address: FOREIGN[4],
      port: 443,
      pieces: [tlsHello('www.example')],
      stay: true,
    })
    await pause(500)
    t.notOk(
      sightings.some(({ serverName }) => serverName === 'www.example'),
      'foreign to foreign is nobody’s business',
    )
  })

  t.test('what a container sends past the proxy has no uid', async (t) => {
    await container.send({
      protocol: 'tcp',
      address: FOREIGN[4],
      port: 8443,
      pieces: [tlsHello('c.openai.azure.com')],
      stay: true,
    })
    const leak = await find(({ serverName }) => serverName === 'c.openai.azure.com')
    t.equal(leak?.rule, 'tls-name')
    t.notOk(leak && 'uid' in leak)
  })

  t.test("the proxy's own connections are none, open or gone", async (t) => {
    const own = { protocol: 'tcp', address: FOREIGN[4], port: 443 } as const
    await proxy.send({ ...own, pieces: [tlsHello('own1.openai.azure.com')], stay: true })
    const gone = await proxy.send({ ...own, pieces: [tlsHello('own2.openai.azure.com')] })
    sensor.send({
      type: 'dialled',
      flows: [
        {
          local: { address: gone.localAddress, port: gone.localPort },
          remote: { address: FOREIGN[4], port: 443 },
        },
      ],
    })
    const unreported = await agent.send({ ...own, pieces: [tlsHello('gone.openai.azure.com')] })
    const leak = await find(({ serverName }) => serverName === 'gone.openai.azure.com')
    t.match(leak, { rule: 'tls-name', client: { port: unreported.localPort } })
    t.same(
      sightings.filter(({ serverName }) => serverName?.startsWith('own')),
      [],
    )
  })

  t.test('learns addresses from DNS answers over UDP and TCP, at once', async (t) => {
    // An address is told again after a second only.
    const query = (type: number) => {
      const labels = ANSWERED.name
        .split('.')
        .map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]))
      return Buffer.concat([
        Buffer.from('000101000001000000000000', 'hex'),
        ...labels,
        Buffer.from([0, 0, type, 0, 1]),
      ])
    }
    const asked = Date.now()
    await agent.send({ protocol: 'udp', address: FOREIGN[4], port: 53, pieces: [query(1)], stay: true })
    const found = await until(() => learned.find(({ name }) => name === ANSWERED.name))
    t.match(found, {
      server: FOREIGN[4],
      entries: [{ address: ANSWERED.address4, ttlSeconds: 5 }],
    })
    t.ok(Date.now() - asked < 500, `${Date.now() - asked} ms`)
    const message = query(28)
    const framed = Buffer.concat([Buffer.from([0, message.length]), message])
    await agent.send({ protocol: 'tcp', address: FOREIGN[6], port: 53, pieces: [framed], stay: true })
    const six = await until(() => learned.find(({ entries }) => entries[0]?.address === ANSWERED.address6))
    t.match(six, { name: ANSWERED.name, server: FOREIGN[6] })
    t.notOk(learned.some(({ entries }) => entries.some(({ address }) => address === '203.0.113.1')))
  })

  t.test('what the kernel could not hand over is counted to the packet', async (t) => {
    const before = states.at(-1)
    const seen = totalOf(sightings, 'udp')
    const pid = sensor.state().pid ?? 0
    process.kill(pid, 'SIGSTOP')
    const { refused } = await agent.send({
      protocol: 'udp',
      address: FOREIGN[4],
      port: 9999,
      pieces: [Buffer.alloc(1000)],
      times: 15_000,
    })
    process.kill(pid, 'SIGCONT')
    t.equal(refused, 15_000)
    // The last ones may be missing without a later number to show it.
    await pause(300)
    const { refused: one } = await agent.send({
      protocol: 'udp',
      address: FOREIGN[4],
      port: 9999,
      pieces: [Buffer.from('x')],
    })
    const lost = () => (states.at(-1)?.kernelDrops ?? 0) - (before?.kernelDrops ?? 0)
    const all = () => totalOf(sightings, 'udp') - seen + lost()
    await until(() => (all() >= refused + one ? true : undefined), 25_000)
    t.ok(lost() > 0, `${lost()} lost`)
    t.equal(all(), refused + one)
  })

  t.test('an ordered stop tells what was counted and not told yet', async (t) => {
    const order = { protocol: 'udp', address: FOREIGN[4], port: 9997, pieces: [Buffer.from('x')] } as const
    await agent.send({ ...order, times: 3 })
    await pause(200)
    t.equal(totalOf(sightings, 'other'), 1)
    await sensor.stop((child) => child.send({ type: 'stop' }), 3000)
    t.equal(totalOf(sightings, 'other'), 3)
    t.equal(sensor.state().lastExit, 'exit 0')
  })
}
