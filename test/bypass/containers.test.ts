/**
 * Packets of one's own making, and whoever isn't the machine itself: numbers 41, 42, 44 to 51 of docs/bypass.md under
 * `standard`, 43 under `strict`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { ANTHROPIC, FOREIGN_RESOLVER, LINK, OPENAI, RELAY, UNLISTED } from '../lab/addresses.ts'
import { type Container, startContainer } from '../lab/containers.ts'
import { enterLab } from '../lab/enter.ts'
import { LabError } from '../lab/lab-error.ts'
import { collect, type Outcome } from '../lab/process.ts'
import { allowTunnels, withPasta, withSlirp } from '../lab/rootless.ts'
import { plugIn, SECOND_LINK, startGuest } from '../lab/uplink.ts'
import { answered, bytesCall, chat, get, httpsCall, inTurn, printed } from '../system/bypass/attempts.ts'
import { type BypassCase, notRun } from '../system/bypass/case.ts'
import { forwardProxy, frames, type Packet, rawPacket, tunPackets } from '../system/bypass/packets.ts'
import { exchange, refusal } from '../system/bypass/records.ts'
import { runSuites } from '../system/bypass/suite.ts'
import { openWorld } from '../system/bypass/world.ts'

t.setTimeout(300_000)
await enterLab(import.meta.url)
const world = await openWorld()
const { lab } = world
t.teardown(() => world.stop())
await allowTunnels()

const AGENT = 4001
const SECOND_AGENT = 4002
/** Flags of a TCP segment (RFC 9293 section 3.1). */
const [SYN, ACK] = [0x02, 0x10]
const { name, address4, address6 } = OPENAI
const models = `https://${name}/v1/models`
const all = inTurn(world)
const captured = { result: 'captured', saw: 'proxy', counter: 'redirected' } as const
const refused = { result: 'refused', saw: 'nothing' } as const
/** Packets that one program sends faster than the sensor tells of them are told as a count, every ten seconds. */
const SUMMED_UP_MS = 25_000

let lastPort = 41_000
/** Ends of a packet from `host` to a site, from a port of its own. */
function ends(family: 4 | 6, site = OPENAI): Pick<Packet, 'source' | 'address' | 'sourcePort' | 'gateway'> {
  const sourcePort = ++lastPort
  return family === 4
    ? { source: LINK.host4, address: site.address4, gateway: LINK.internet4, sourcePort }
    : { source: LINK.host6, address: site.address6, gateway: LINK.internet6, sourcePort }
}
const families = [4, 6] as const

/** Whole packets by root: to providers, and to an address that nobody knows yet, its connection feigned first. */
const madePackets = (): string[][] => [
  ...families.flatMap((family) => [
    rawPacket({ how: 'hdrincl', what: 'syn', port: 443, ...ends(family) }),
    rawPacket({ how: 'hdrincl', what: 'udp', port: 443, text: 'raw', ...ends(family, ANTHROPIC) }),
    rawPacket({ how: 'hdrincl', what: 'syn', flags: ACK, port: 443, ...ends(family) }),
  ]),
]

/** An acknowledgement first, which nobody answers: connection tracking takes what follows for more of a connection. */
function feigned(): string[][] {
  return families.flatMap((family) => {
    const where = ends(family, UNLISTED)
    return [ACK, SYN].map((flags) =>
      rawPacket({ how: 'hdrincl', what: 'syn', flags, corrupt: flags === ACK, port: 443, ...where }),
    )
  })
}

/** Every door that CAP_NET_RAW opens below the IP stack, in both families, and a datagram. */
function everyFrame(device = 'eth0', from: (family: 4 | 6) => ReturnType<typeof ends> = ends): Packet[] {
  const ways = ['packet', 'bypass', 'datagram', 'disguised', 'tagged', 'xdp'] as const
  return [
    ...ways.flatMap((how) => families.map((family) => syn(how, device, from(family)))),
    ...families.map((family) => ({
      ...syn('packet', device, from(family)),
      what: 'udp' as const,
      text: 'raw',
    })),
  ]
}

function syn(how: NonNullable<Packet['how']>, device: string, where: ReturnType<typeof ends>): Packet {
  return { how, what: 'syn', port: 443, device, ...where }
}

/** A container for the time of some calls. */
async function within(
  options: Parameters<typeof startContainer>[0],
  act: (container: Container) => Promise<Outcome[]>,
): Promise<Outcome[]> {
  const container = await startContainer(options)
  try {
    return await act(container)
  } finally {
    await container.stop()
  }
}

async function inside(container: Container, ...commands: string[][]): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  for (const argv of commands) outcomes.push(await container.run(argv))
  return outcomes
}

/** Names of bridges, a new one each time. */
let late = 0

const standard: readonly BypassCase[] = [
  {
    ...refused,
    number: 41,
    traces: 5,
    name: 'SYN, ACK and UDP with headers made by root, and a SYN after a feigned connection',
    attempt: () => all('root', ...madePackets(), ...feigned()),
    watch: [UNLISTED],
    counter: ['refused_quic', 'refused_tcp'],
    records: [
      refusal({ uid: 0, rule: /quic/, address: ANTHROPIC.address4, port: 443 }),
      refusal({ uid: 0, rule: /quic/, address: ANTHROPIC.address6, port: 443 }),
      refusal({ uid: 0, rule: /tcp/, address: address4, port: 443 }),
      refusal({ uid: 0, rule: /tcp/, address: address6, port: 443 }),
      refusal({ uid: 0, rule: /unredirected/, address: UNLISTED.address4, port: 443 }),
      refusal({ uid: 0, rule: /unredirected/, address: UNLISTED.address6, port: 443 }),
    ],
  },
  {
    ...refused,
    number: 42,
    traces: 14,
    name: 'frames by six kinds of socket below IP: plain, unqueued, headerless, disguised, tagged, AF_XDP',
    attempt: () => all('root', frames(everyFrame())),
    counter: ['egress_tcp', 'egress_udp', 'egress_frame'],
    records: [
      refusal({ uid: 0, rule: /egress-tcp/, address: address4, port: 443 }),
      refusal({ uid: 0, rule: /egress-tcp/, address: address6, port: 443 }),
      refusal({ uid: 0, rule: /egress-udp/, address: address4, port: 443 }),
      refusal({ uid: 0, rule: /egress-frame/ }),
    ],
  },
  {
    ...captured,
    number: 44,
    traces: 6,
    name: 'a bridged container over both families, by address too; a veth pair without a bridge is refused',
    attempt: async () => [
      ...(await within({ kind: 'bridge' }, (container) =>
        inside(
          container,
          chat('from a container over IPv4', '-4'),
          chat('from a container over IPv6', '-6'),
          httpsCall({ address: address4, sni: name, host: name }),
          httpsCall({ address: address6, sni: name, host: name }),
        ),
      )),
      ...(await within({ kind: 'veth' }, (container) =>
        inside(container, get(models, '-4'), get(models, '-6')),
      )),
    ],
    client: (t, outcomes) => {
      answered(t, outcomes.slice(0, 4))
      for (const { code } of outcomes.slice(4)) t.equal(code, 7, 'refused at once')
    },
    records: [
      exchange({ provider: 'openai', status: 200, address: address4 }),
      exchange({ provider: 'openai', status: 200, address: address6 }),
      refusal({ rule: /tcp/, address: address4, port: 443 }),
      refusal({ rule: /tcp/, address: address6, port: 443 }),
    ],
    recordWithinMs: SUMMED_UP_MS,
  },
  {
    ...captured,
    number: 45,
    traces: 12,
    name: "calls, made packets and frames with a container's own capabilities",
    attempt: () =>
      within({ kind: 'host-network' }, (container) =>
        inside(container, get(models, '-4'), get(models, '-6'), ...madePackets(), frames(everyFrame())),
      ),
    client: (t, outcomes) => answered(t, outcomes.slice(0, 2)),
    counter: ['egress_tcp', 'egress_frame'],
    records: [
      exchange({ uid: 0, provider: 'openai', status: 200, address: address4 }),
      exchange({ uid: 0, provider: 'openai', status: 200, address: address6 }),
      refusal({ uid: 0, rule: /egress-tcp/, address: address4 }),
      refusal({ uid: 0, rule: /egress-frame/ }),
    ],
    recordWithinMs: SUMMED_UP_MS,
  },
  {
    ...captured,
    number: 46,
    traces: 6,
    name: 'user namespaces with pasta and with slirp4netns',
    attempt: () =>
      all(
        'agent1',
        withPasta(httpsCall({ address: address4, sni: name, host: name })),
        withPasta(httpsCall({ address: address6, sni: name, host: name })),
        withSlirp(httpsCall({ address: address4, sni: name, host: name })),
      ),
    client: answered,
    records: [
      exchange({ uid: AGENT, provider: 'openai', status: 200, address: address4 }),
      exchange({ uid: AGENT, provider: 'openai', status: 200, address: address6 }),
    ],
  },
  {
    ...captured,
    number: 49,
    traces: 6,
    name: 'the first packets of a container on a new bridge; on one of an unknown name they are refused',
    attempt: async () => [
      ...(await within({ kind: 'bridge', bridge: `br-late${++late}` }, (container) =>
        inside(container, get(models, '-4'), get(models, '-6')),
      )),
      ...(await within({ kind: 'bridge', bridge: `own${++late}` }, (container) =>
        inside(container, get(models, '-4'), get(models, '-6')),
      )),
    ],
    client: (t, outcomes) => {
      answered(t, outcomes.slice(0, 2))
      for (const { code } of outcomes.slice(2)) t.equal(code, 7, 'refused at once')
    },
    records: [
      exchange({ provider: 'openai', status: 200, address: address4 }),
      exchange({ provider: 'openai', status: 200, address: address6 }),
      refusal({ rule: /tcp/, address: address4, port: 443 }),
      refusal({ rule: /tcp/, address: address6, port: 443 }),
    ],
    recordWithinMs: SUMMED_UP_MS,
  },
  {
    ...captured,
    number: 50,
    traces: 12,
    name: 'calls and frames by an uplink that was plugged in, and a guest that a bridge puts on its network',
    attempt: async () => {
      const { device, host4, host6, internet4, internet6 } = SECOND_LINK
      const uplink = await plugIn([OPENAI])
      // What the guard has to take it in.
      await sleep(1000)
      const by = (family: 4 | 6) => ({
        ...ends(family),
        ...(family === 4 ? { source: host4, gateway: internet4 } : { source: host6, gateway: internet6 }),
      })
      const outcomes = await all('agent1', get(models, '-4'), get(models, '-6'))
      outcomes.push(...(await all('root', frames(everyFrame(device, by)))))
      const guest = await startGuest()
      await sleep(1000)
      for (const family of ['-4', '-6']) outcomes.push(await guest.run(get(models, family, '-m', '2')))
      await guest.remove()
      await uplink.unplug()
      return outcomes
    },
    client: (t, outcomes) => {
      answered(t, outcomes.slice(0, 2))
      for (const { code } of outcomes.slice(3)) t.not(code, 0, 'the guest gets nowhere')
    },
    counter: ['egress_tcp', 'egress_frame'],
    records: [
      exchange({ uid: AGENT, provider: 'openai', status: 200, address: address4 }),
      exchange({ uid: AGENT, provider: 'openai', status: 200, address: address6 }),
      refusal({ uid: 0, rule: /egress-tcp/, address: address4 }),
      refusal({ rule: /tcp/, address: address4, uid: null }),
      refusal({ rule: /tcp/, address: address6, uid: null }),
    ],
    recordWithinMs: SUMMED_UP_MS,
  },
  {
    ...captured,
    number: 51,
    traces: 4,
    name: "a container through a proxy on the machine; the gateway's own ports are refused, a web server is not",
    attempt: () =>
      within({ kind: 'bridge' }, async (container) => {
        const proxy = lab.spawnAs('agent2', forwardProxy(8888), { cwd: '/' })
        const site = lab.spawnAs(
          'agent2',
          ['/usr/bin/python3', '-m', 'http.server', '8000', '--bind', '::'],
          {
            cwd: '/etc/ssl',
          },
        )
        const ended = [collect(proxy), collect(site)]
        await sleep(500)
        const gateways = [container.gateway4, `[${container.gateway6}]`]
        const outcomes = await inside(
          container,
          ...gateways.map((gateway) => get(models, '-x', `http://${gateway}:8888`)),
          ...gateways.map((gateway) => ['/usr/bin/curl', '-sSi', '-m', '5', `http://${gateway}:8000/`]),
          ...[18443, 18545].flatMap((port) =>
            [container.gateway4!, container.gateway6!].map((address) =>
              bytesCall({ address, port, seconds: 2 }),
            ),
          ),
        )
        proxy.kill()
        site.kill()
        await Promise.all(ended)
        return outcomes
      }),
    client: (t, outcomes) => {
      for (const { stdout, stderr } of outcomes.slice(0, 2)) t.match(stdout, /"object": ?"list"/, stderr)
      for (const { stdout } of outcomes.slice(2, 4))
        t.match(stdout, /^HTTP\/1\.0 200 /, 'local services stay usable')
      for (const outcome of outcomes.slice(4)) t.match(printed(outcome), [{ connected: false }])
    },
    counter: ['direct_dial'],
    records: [
      exchange({ uid: SECOND_AGENT, provider: 'openai', status: 200 }),
      refusal({ rule: /direct/, port: 18443 }),
      refusal({ rule: /guarded/, port: 18545 }),
    ],
    recordWithinMs: SUMMED_UP_MS,
  },
]

/** The far end of a tunnel, on the internet. */
const FAR_END = 51_820

const strict: readonly BypassCase[] = [
  {
    ...refused,
    number: 43,
    traces: 6,
    name: 'packets out of a TUN device to a provider, and the datagrams of user-space tunnels and VXLAN',
    attempt: async () => {
      // As any machine with containers has it.
      await all('root', ['/bin/sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward'])
      await all('root', ['/bin/sh', '-c', 'echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'])
      const inner = { 4: '198.19.0.2', 6: '2001:2:0:1::2' } as const
      return all(
        'root',
        tunPackets({
          device: 'tun9',
          address4: '198.19.0.1',
          address6: '2001:2:0:1::1',
          packets: families.flatMap((family) => [
            { what: 'syn' as const, port: 443, ...ends(family), source: inner[family] },
            { what: 'udp' as const, port: 443, text: 'tunnelled', ...ends(family), source: inner[family] },
          ]),
          peers: [RELAY.address4, RELAY.address6].map((address) => ({ address, port: FAR_END })),
          vxlan: { address: FOREIGN_RESOLVER.address4, inner: '198.19.9.1' },
          settle: world.isEnforcing() ? 4 : 0,
        }),
      )
    },
    watch: [RELAY, FOREIGN_RESOLVER],
    counter: ['refused_udp', 'refused_tcp'],
    records: [
      refusal({ rule: /tcp/, address: address4, port: 443 }),
      refusal({ rule: /tcp/, address: address6, port: 443 }),
      refusal({ rule: /quic|udp/, address: address4, port: 443 }),
      refusal({ uid: 0, rule: /udp/, address: RELAY.address4, port: FAR_END }),
      refusal({ uid: 0, rule: /udp/, address: RELAY.address6, port: FAR_END }),
      refusal({ rule: /udp/, address: FOREIGN_RESOLVER.address4, port: 4789 }),
    ],
    recordWithinMs: SUMMED_UP_MS,
  },
]

/** Those of the two that this kernel has, which a container shows that is made and taken down. */
async function kernelHas(kind: 'macvlan' | 'ipvlan'): Promise<boolean> {
  try {
    await (await startContainer({ kind })).stop()
    return true
  } catch (error) {
    if (error instanceof LabError && error.code === 'kernel-lacks') return false
    throw error
  }
}

const onUplink: ('macvlan' | 'ipvlan')[] = []
for (const kind of ['macvlan', 'ipvlan'] as const) if (await kernelHas(kind)) onUplink.push(kind)

const upon: BypassCase = {
  ...refused,
  number: 47,
  traces: 2,
  name: `calls and frames of a container on ${onUplink.join(' and ')}`,
  attempt: async () => {
    const outcomes: Outcome[] = []
    for (const kind of onUplink) {
      outcomes.push(
        ...(await within({ kind }, async (container) =>
          inside(
            container,
            get(models, '-4', '-m', '2', '--resolve', `${name}:443:${address4}`),
            get(models, '-6', '-m', '2', '--resolve', `${name}:443:[${address6}]`),
            frames(
              everyFrame('eth0', (family) => ({
                ...ends(family),
                source: family === 4 ? container.address4 : container.address6,
              })),
            ),
          ),
        )),
      )
    }
    return outcomes
  },
  counter: 'egress_tcp',
  records: [
    refusal({ rule: /egress-tcp/, address: address4, port: 443 }),
    refusal({ rule: /egress-tcp/, address: address6, port: 443 }),
  ],
  recordWithinMs: SUMMED_UP_MS,
}
if (onUplink.length === 0) {
  const reason = 'this kernel has neither macvlan nor ipvlan; 50 has the same frames by way of a bridge'
  notRun(t, 47, 'macvlan, ipvlan', reason)
}

runSuites(world, [
  { policy: 'standard', cases: onUplink.length === 0 ? standard : [...standard, upon] },
  { policy: 'strict', cases: strict },
])
