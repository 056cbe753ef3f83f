/**
 * Packets of one's own making: numbers 41, 42 and 47 of docs/bypass.md under `standard`, 43 under `strict`.
 */
import t from 'tap'
import { ANTHROPIC, FOREIGN_RESOLVER, OPENAI, RELAY, UNLISTED } from '../lab/addresses.ts'
import { startContainer } from '../lab/containers.ts'
import { enterLab } from '../lab/enter.ts'
import { LabError } from '../lab/lab-error.ts'
import type { Outcome } from '../lab/process.ts'
import { allowTunnels } from '../lab/rootless.ts'
import { get, inTurn } from './bypass/attempts.ts'
import { type BypassCase, notRun } from './bypass/case.ts'
import { ends, everyFrame, families, feigned, madePackets } from './bypass/made-packets.ts'
import { frames, tunPackets } from './bypass/packets.ts'
import { refusal } from './bypass/records.ts'
import { runSuites } from './bypass/suite.ts'
import { inside, within } from './bypass/within.ts'
import { openWorld } from './bypass/world.ts'

t.setTimeout(300_000)
await enterLab(import.meta.url)
const world = await openWorld()
t.teardown(() => world.stop())
await allowTunnels()

const { name, address4, address6 } = OPENAI
const models = `https://${name}/v1/models`
const all = inTurn(world)
const refused = { result: 'refused', saw: 'nothing' } as const
/** Packets that one program sends faster than the sensor tells of them are told as a count, every ten seconds. */
const SUMMED_UP_MS = 25_000

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
