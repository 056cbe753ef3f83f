/** What each kind of fence and redirect means: everything, nothing, local services, the lease. */
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import type { Enforcement } from '../../../firewall/enforcement.ts'
import { applyFence, readCounters, removeFence } from '../../../firewall/fence.ts'
import { type Redirect, startRedirect } from '../../../firewall/redirect-owner.ts'
import type { Cast } from './cast.ts'
import { enforcement } from './enforcement.ts'
import { AT_ONCE_MS, FAMILIES, growth, IN_VAIN, REFUSED } from './expectations.ts'
import { echo } from './packets.ts'
import {
  AGENT_UID,
  BRIDGE,
  DNS_PORT,
  FOREIGN,
  HOST,
  LLM,
  LOCAL_PORT,
  LOOPBACK,
  PROXY_PORT,
  ROUTER,
} from './places.ts'
import { arrivals, nftScript, sh } from './world.ts'

const STRICT: Enforcement = {
  ...enforcement,
  fence: 'everything',
  redirect: 'all',
  dnsPort: DNS_PORT,
  resolversRefused: true,
}
const ICMP = { 4: 1, 6: 58 } as const

export async function proveModes(cast: Cast): Promise<void> {
  const { nft, agent, root, exempt, clock, container, outsider } = cast
  let redirect: Redirect
  const raise = async (e: Enforcement) => {
    await applyFence(nft, e)
    redirect = await startRedirect(e)
  }

  await t.test('with everything redirected, TCP to any port of any host meets the proxy', async (t) => {
    await raise(STRICT)
    for (const f of FAMILIES) {
      for (const [to, port] of [
        [FOREIGN[f], 22],
        [FOREIGN[f], 8080],
        [LLM[f], 9999],
        [FOREIGN[f], 443],
      ] as const) {
        t.match((await agent.tcp(to, port)).answer, `proxy: to ${to} port ${port} by ${AGENT_UID}`)
        t.match((await root.tcp(to, port)).answer, `proxy: to ${to} port ${port} by 0`)
        t.match((await container.tcp(to, port)).answer, `proxy: to ${to} port ${port} by unknown`)
      }
      t.equal((await exempt.tcp(FOREIGN[f], 8080)).answer, `far side saw ${HOST[f]}`, 'but the proxy itself')
    }
  })

  await t.test('with a fence around everything, datagrams and other protocols are refused', async (t) => {
    for (const f of FAMILIES) {
      const before = arrivals()
      for (const who of [agent, root, container]) {
        const quic = await growth(nft, 'refused_quic', async () => {
          const { answer, ms } = await who.udp(FOREIGN[f], 443)
          t.match(answer, REFUSED)
          t.ok(ms < AT_ONCE_MS)
        })
        const plain = await growth(nft, 'refused_udp', async () =>
          t.match((await who.udp(FOREIGN[f], 123)).answer, REFUSED),
        )
        t.same([quic, plain], [1, 1])
      }
      const raw = cast.hire({ uid: 0, namespace: 'container' })
      for (const who of [cast.rawAgent, root, raw]) {
        const icmp = await growth(nft, 'refused_icmp', () =>
          who.packet({ address: FOREIGN[f], protocol: ICMP[f], bytes: echo(f).toString('hex') }),
        )
        const others = await growth(nft, 'refused_other', async () => {
          // SCTP, UDP-Lite, GRE, IP in IP.
          for (const protocol of [132, 136, 47, 4])
            await who.packet({ address: FOREIGN[f], protocol, bytes: '00'.repeat(24) })
        })
        t.same([icmp, others], [1, 4], 'ICMP and four other protocols')
      }
      t.same(arrivals(), before, 'nothing arrives')
    }
  })

  await t.test('QUIC on another port is known by its first bytes', async (t) => {
    for (const version of ['00000001', '6b3343cf']) {
      const socket = createSocket('udp4')
      const counted = await growth(
        nft,
        'refused_quic',
        () =>
          new Promise<void>((done) =>
            socket.send(Buffer.from(`c0${version}0000`, 'hex'), 8853, FOREIGN[4], () => done()),
          ),
      )
      socket.close()
      t.equal(counted, 1, version)
    }
  })

  await t.test('questions to any resolver reach the guard, and nobody dials it', async (t) => {
    const before = arrivals()
    const counted = await growth(nft, 'redirected_dns', async () => {
      for (const f of FAMILIES) {
        for (const who of [agent, root, container]) {
          t.equal((await who.udp(FOREIGN[f], 53)).answer, 'guard')
          t.equal((await who.tcp(FOREIGN[f], 53)).answer, 'guard')
        }
      }
    })
    t.equal(counted, 12)
    t.same(arrivals(), before, 'none goes out')
    const dialled = await growth(nft, 'direct_dial', async () => {
      for (const f of FAMILIES) {
        t.match((await agent.udp(LOOPBACK[f], DNS_PORT)).answer, REFUSED)
        t.match((await agent.tcp(LOOPBACK[f], DNS_PORT)).answer, REFUSED)
        t.match((await container.udp(BRIDGE[f], DNS_PORT)).answer, REFUSED)
        t.match((await outsider.tcp(HOST[f], DNS_PORT)).answer, REFUSED)
      }
    })
    t.ok(dialled >= 8)
  })

  await t.test('a question from a port that the guard asked from is not let past it', async (t) => {
    await redirect.stop()
    await raise({ ...enforcement, dnsPort: DNS_PORT })
    const before = arrivals()
    for (const [i, f] of FAMILIES.entries()) {
      const localPort = 40_053 + i
      t.match((await exempt.udp(FOREIGN[f], 53, { localPort })).answer, `far side saw ${HOST[f]}`)
      const counted = await growth(nft, 'refused_unredirected', async () =>
        t.match((await agent.udp(FOREIGN[f], 53, { localPort })).answer, REFUSED),
      )
      t.equal(counted, 1)
      t.equal((await agent.udp(FOREIGN[f], 53)).answer, 'guard', 'a port of its own is another connection')
    }
    t.equal(arrivals().foreign - before.foreign, FAMILIES.length, "only the guard's own went out")
    await redirect.stop()
    await raise(STRICT)
  })

  await t.test('encrypted DNS is refused at once', async (t) => {
    for (const f of FAMILIES) {
      for (const who of [agent, root, container]) {
        const counted = await growth(nft, 'refused_dot', async () => {
          t.match((await who.tcp(FOREIGN[f], 853)).answer, REFUSED)
          t.match((await who.udp(FOREIGN[f], 853)).answer, REFUSED)
        })
        t.equal(counted, 2)
      }
    }
  })

  await t.test('what is allowed passes for its users and not to LLM addresses', async (t) => {
    for (const f of FAMILIES) {
      t.equal((await clock.udp(FOREIGN[f], 123)).answer, `far side saw ${HOST[f]}`)
      t.match((await clock.udp(FOREIGN[f], 443)).answer, REFUSED)
      t.match((await clock.udp(LLM[f], 123)).answer, REFUSED)
      t.match((await agent.udp(FOREIGN[f], 123)).answer, REFUSED)
    }
  })

  await t.test('a server still answers those who call it, and the machine its neighbours', async (t) => {
    const server = createServer((socket) => void socket.on('error', () => {}).end('served')).listen(
      2222,
      '::',
    )
    const socket = createSocket('udp6')
    socket.on('message', (_, peer) => socket.send('served', peer.port, peer.address))
    await new Promise<void>((bound) => socket.bind(2222, '::', bound))
    for (const f of FAMILIES) {
      t.equal((await outsider.tcp(HOST[f], 2222)).answer, 'served')
      t.equal((await outsider.udp(HOST[f], 2222)).answer, 'served')
      t.equal((await outsider.tcp(HOST[f], 2223)).answer, 'error ECONNREFUSED', 'a reset for a closed port')
      t.equal((await outsider.udp(HOST[f], 2223)).answer, 'error ECONNREFUSED', 'an error for a closed port')
      sh('ip', '-n', 'internet', 'neighbour', 'flush', 'dev', 'host')
      sh('ip', 'neighbour', 'flush', 'dev', 'uplink')
      t.equal((await exempt.tcp(FOREIGN[f], 8080)).answer, `far side saw ${HOST[f]}`, 'neighbours are found')
    }
    server.close()
    socket.close()
  })

  await t.test('a container that serves answers its callers too', async (t) => {
    sh('ip', 'netns', 'exec', 'container', 'true')
    const inside = cast.hire({ uid: 0, namespace: 'container' })
    t.equal((await inside.serve(2224)).answer, 'serving')
    for (const address of ['198.51.100.2', '2001:db8:51::2'])
      t.equal((await outsider.tcp(address, 2224)).answer, 'served')
  })

  await t.test('path MTU discovery works past the fence', async (t) => {
    sh('ip', '-n', 'internet', 'route', 'replace', `${HOST[4]}/32`, 'dev', 'host', 'mtu', '1280')
    sh('ip', 'route', 'replace', `${FOREIGN[4]}/32`, 'via', ROUTER[4], 'mtu', '1280')
    t.equal((await exempt.tcp(FOREIGN[4], 8080)).answer, `far side saw ${HOST[4]}`)
    const big = cast.hire({ uid: 0, namespace: 'container' })
    const icmp = await growth(nft, ['refused_icmp', 'refused_other', 'refused_udp'], async () => {
      t.equal((await big.udp(FOREIGN[4], 123, IN_VAIN)).answer, 'error ECONNREFUSED')
    })
    t.equal(icmp, 1, 'the errors that the kernel itself sends pass')
    sh('ip', 'route', 'delete', `${FOREIGN[4]}/32`)
    sh('ip', '-n', 'internet', 'route', 'delete', `${HOST[4]}/32`)
  })

  await t.test('without a beat the redirect lapses: refused under a fence around everything', async (t) => {
    await redirect.stop()
    await raise({ ...STRICT, leaseMs: 500 })
    t.match((await agent.tcp(FOREIGN[4], 8080)).answer, /^proxy: to/)
    await pause(700)
    for (const f of FAMILIES) {
      for (const who of [agent, container]) {
        t.match((await who.tcp(FOREIGN[f], 8080)).answer, REFUSED)
        t.match((await who.udp(FOREIGN[f], 53)).answer, REFUSED)
      }
    }
    await redirect.beat()
    t.match((await agent.tcp(FOREIGN[4], 8080)).answer, /^proxy: to/, 'a late beat brings it back')
    t.equal((await agent.udp(FOREIGN[4], 53)).answer, 'guard')
    await redirect.stop()
  })

  await t.test('without a beat the redirect lapses: LLM addresses are refused, the rest flows', async (t) => {
    await raise({ ...enforcement, leaseMs: 500 })
    for (let beats = 0; beats < 8; beats++) {
      await pause(100)
      await redirect.beat()
    }
    t.match((await agent.tcp(LLM[4], 443)).answer, /^proxy: to/, 'beats keep it up')
    await agent.tcp(LLM[4], 443, { keep: 'lapsed' })
    await pause(700)
    for (const f of FAMILIES) {
      for (const who of [agent, container]) {
        const { answer, ms } = await who.tcp(LLM[f], 443)
        t.match(answer, REFUSED)
        t.ok(ms < AT_ONCE_MS)
        t.match((await who.tcp(FOREIGN[f], 443)).answer, /^far side saw/)
      }
    }
    t.equal((await agent.use('lapsed')).answer, 'again', 'what runs goes on')
    await redirect.stop()
  })

  await t.test('a fence around nothing counts what passes it, once a connection', async (t) => {
    await removeFence(nft)
    await raise({ ...enforcement, fence: 'nothing' })
    for (const f of FAMILIES) {
      t.match((await agent.tcp(LLM[f], 443)).answer, /^proxy: to/, 'the redirect stands')
      t.equal(
        await growth(nft, 'seen_quic', async () =>
          t.equal((await agent.udp(LLM[f], 443)).answer, `far side saw ${HOST[f]}`),
        ),
        1,
      )
      t.match((await agent.tcp(HOST[f], PROXY_PORT)).answer, REFUSED, 'own ports are protected')
    }
    await redirect.stop()
    for (const f of FAMILIES) {
      const counted = await growth(nft, 'seen_tcp', async () => {
        t.equal((await agent.tcp(LLM[f], 443, { keep: `seen${f}` })).answer, `far side saw ${HOST[f]}`)
        t.equal((await agent.use(`seen${f}`)).answer, 'again')
        t.equal(
          (await container.tcp(LLM[f], 443)).answer,
          `far side saw ${f === 4 ? '198.51.100.2' : '2001:db8:51::2'}`,
        )
      })
      t.equal(counted, 2)
      t.equal(await growth(nft, 'seen_tcp', () => exempt.tcp(LLM[f], 443)), 0, 'not what the proxy sends')
    }
    const counters = await readCounters(nft)
    t.notOk(
      Object.keys(counters).some((name) => /^refused/.test(name) && counters[name]?.packets),
      'nothing is refused',
    )
  })

  await t.test('callers of a local LLM server meet the proxy, other services are let alone', async (t) => {
    await removeFence(nft)
    const e: Enforcement = { ...enforcement, localPorts: [LOCAL_PORT] }
    await raise(e)
    const server = createServer((socket) => void socket.on('error', () => {}).end('a tool')).listen(
      3333,
      '::',
    )
    for (const f of FAMILIES) {
      t.equal(
        (await agent.tcp(LOOPBACK[f], LOCAL_PORT)).answer,
        `proxy: to ${LOOPBACK[f]} port ${LOCAL_PORT} by ${AGENT_UID}`,
      )
      t.equal((await root.tcp(HOST[f], LOCAL_PORT)).answer, `proxy: to ${HOST[f]} port ${LOCAL_PORT} by 0`)
      t.match((await container.tcp(BRIDGE[f], LOCAL_PORT)).answer, /^proxy: to/)
      t.equal((await exempt.tcp(LOOPBACK[f], LOCAL_PORT)).answer, 'service', 'the proxy itself calls it')
      t.equal((await agent.tcp(LOOPBACK[f], 3333)).answer, 'a tool')
    }
    await redirect.stop()
    for (const f of FAMILIES) {
      const counted = await growth(nft, 'refused_local', async () => {
        t.match((await agent.tcp(LOOPBACK[f], LOCAL_PORT)).answer, REFUSED, 'with the daemon dead')
        t.match((await container.tcp(BRIDGE[f], LOCAL_PORT)).answer, REFUSED)
      })
      t.equal(counted, 2)
      t.equal((await exempt.tcp(LOOPBACK[f], LOCAL_PORT)).answer, 'service')
      t.equal((await agent.tcp(LOOPBACK[f], 3333)).answer, 'a tool')
    }
    server.close()
    await removeFence(nft)
  })

  await t.test('updates and other people’s changes at the same time do not disturb each other', async (t) => {
    await raise(enforcement)
    const many = (n: number): Enforcement => ({
      ...enforcement,
      addresses4: [LLM[4], ...Array.from({ length: n }, (_, i) => `100.64.0.${i + 1}`)],
    })
    const others = async () => {
      for (let i = 0; i < 20; i++) {
        nftScript(`add table inet stranger${i % 3}\ndelete table inet stranger${i % 3}`)
        await pause(1)
      }
    }
    const ours = async () => {
      for (let i = 0; i < 60; i++) await Promise.all([redirect.update(many(i)), redirect.beat()])
    }
    const fences = async () => {
      for (let i = 0; i < 10; i++) await applyFence(nft, many(60))
    }
    await Promise.all([ours(), others(), fences()])
    t.match((await agent.tcp('100.64.0.59', 9999)).answer, /^proxy: to/)
    await redirect.stop()
    await removeFence(nft)
  })
}
