/** Senders that make their own packets: below the IP stack, beside it, and ahead of it. */
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Enforcement } from '../../../firewall/enforcement.ts'
import { applyFence, removeFence } from '../../../firewall/fence.ts'
import { type Redirect, startRedirect } from '../../../firewall/redirect-owner.ts'
import { type XdpQueues, xdpQueues } from '../../../firewall/xdp-queues.ts'
import type { Cast } from './cast.ts'
import { enforcement } from './enforcement.ts'
import { FAMILIES, growth, IN_VAIN, REFUSED } from './expectations.ts'
import type { Frame } from './packets.ts'
import { ACK, echo, ethernet, IPPROTO_RAW, ip, SYN, TCP, tcp, UDP, udp } from './packets.ts'
import { CONTAINER, FOREIGN, HOST, LLM, UPLINK, VIRTUAL } from './places.ts'
import { type Agent, arrivals, hardwareAddress, nftScript, sh } from './world.ts'

const TYPE = { 4: 0x0800, 6: 0x86dd } as const
const VLAN = 0x8100
const SERVICE_VLAN = 0x88a8
const PPPOE = 0x8864
const LOCAL_EXPERIMENT = 0x88b5
const ETH_P_802_2 = 4

type Family = 4 | 6

export async function proveFrames(cast: Cast): Promise<void> {
  const { nft, agent, root, rawAgent, exemptUser, container, virtual } = cast
  const far = hardwareAddress('host', 'internet')
  const link = { from: hardwareAddress(UPLINK), to: far }
  const virtualLink = { from: hardwareAddress('virtual0', 'virtual'), to: far }
  let redirect: Redirect

  const raise = async (e: Enforcement) => {
    await applyFence(nft, e)
    redirect = await startRedirect(e)
  }
  const strict: Enforcement = {
    ...enforcement,
    fence: 'everything',
    redirect: 'all',
    allowed: [{ protocol: 'udp', ports: [67], uids: [0] }],
  }
  const datagram = (f: Family, to: string, port: number, from: string = HOST[f]) =>
    ip({ from, to }, UDP, udp({ from, to }, { port }))
  const opening = (f: Family, to: string, port: number, from: string = HOST[f]) =>
    ip({ from, to }, TCP, tcp({ from, to }, { port }, SYN))
  const frame = (f: Family, packet: Buffer, more: Partial<Frame> = {}): Frame => ({
    device: UPLINK,
    protocol: TYPE[f],
    bytes: ethernet(link, [TYPE[f]], packet),
    ...more,
  })

  /** Frames with the same packet inside, by how it is hidden. */
  const disguises = (f: Family, packet: Buffer, device = UPLINK, at = link): [string, Frame][] => {
    const wrapped = (types: number[], protocol: number) => ({
      device,
      protocol,
      bytes: ethernet(at, types, packet),
    })
    const snap = [packet.length + 8, 0xaaaa, 0x0300, 0, TYPE[f]]
    return [
      ['plain', wrapped([TYPE[f]], TYPE[f])],
      ['past the queueing discipline', { ...wrapped([TYPE[f]], TYPE[f]), bypassQdisc: true }],
      ['with its protocol left to the kernel', wrapped([TYPE[f]], 0)],
      ['noted as another protocol', wrapped([TYPE[f]], LOCAL_EXPERIMENT)],
      ['with a priority tag', wrapped([VLAN, 0, TYPE[f]], VLAN)],
      ['with a priority tag, noted as another protocol', wrapped([VLAN, 0, TYPE[f]], LOCAL_EXPERIMENT)],
      ['with two tags', wrapped([SERVICE_VLAN, 0, VLAN, 0, TYPE[f]], SERVICE_VLAN)],
      ['in a PPPoE session', wrapped([PPPOE, 0x1100, 1, packet.length + 2, f === 4 ? 0x21 : 0x57], PPPOE)],
      ['in SNAP', wrapped(snap, ETH_P_802_2)],
    ]
  }
  const EGRESS = ['egress_tcp', 'egress_udp', 'egress_other', 'egress_frame']

  /** Every disguise is counted, and none arrives. */
  const proveStopped = async (t: Test, who: Agent, frames: [string, Frame][]) => {
    for (const [name, each] of frames) {
      const before = arrivals().llm
      const counted = await growth(nft, EGRESS, () => who.frame(each))
      t.ok(counted >= 1, `${name}: counted`)
      t.equal(arrivals().llm, before, `${name}: nothing arrives`)
    }
  }

  await t.test('without rules the frames arrive', async (t) => {
    await removeFence(nft)
    const before = arrivals().llm
    for (const f of FAMILIES) {
      for (const [, each] of disguises(f, datagram(f, LLM[f], 443)).slice(0, 6))
        t.equal((await root.frame(each)).answer, 'sent')
    }
    t.equal(arrivals().llm - before, 12, 'disguised or not')
  })

  await t.test('frames to LLM addresses are stopped at the device, however they are disguised', async (t) => {
    await raise(enforcement)
    for (const f of FAMILIES) {
      await proveStopped(t, root, disguises(f, datagram(f, LLM[f], 443)))
      await proveStopped(t, rawAgent, disguises(f, opening(f, LLM[f], 443)).slice(0, 2))
      await proveStopped(t, root, [['a datagram to any port', frame(f, datagram(f, LLM[f], 7000))]])
    }
  })

  await t.test('frames that open web connections or carry QUIC are stopped wherever they go', async (t) => {
    for (const f of FAMILIES) {
      const before = arrivals().foreign
      const tcpCount = await growth(nft, 'egress_tcp', () =>
        root.frame(frame(f, opening(f, FOREIGN[f], 443))),
      )
      const udpCount = await growth(nft, 'egress_udp', () =>
        root.frame(frame(f, datagram(f, FOREIGN[f], 443))),
      )
      const ends = { from: HOST[f], to: FOREIGN[f] }
      // The first eight bytes of a segment: its flags come in the next piece.
      const pieces = ip(ends, TCP, tcp(ends, { port: 443 }, SYN), 8)
      const pieceCount = await growth(nft, EGRESS, () => root.frame(frame(f, pieces)))
      t.same([tcpCount, udpCount, pieceCount], [1, 1, 1])
      t.equal(arrivals().foreign, before)
    }
  })

  await t.test('other frames pass, and those of the exempt', async (t) => {
    const exemption = { ...enforcement, exempt: { ...enforcement.exempt, uids: [1500] } }
    await applyFence(nft, exemption)
    await redirect.update(exemption)
    for (const f of FAMILIES) {
      const before = arrivals()
      await root.frame(frame(f, datagram(f, FOREIGN[f], 9)))
      await exemptUser.frame(frame(f, datagram(f, LLM[f], 443)))
      t.same([arrivals().foreign - before.foreign, arrivals().llm - before.llm], [1, 1])
    }
    await applyFence(nft, enforcement)
    await redirect.update(enforcement)
  })

  await t.test('a macvlan container reaches foreign hosts, and no LLM address', async (t) => {
    for (const f of FAMILIES) {
      t.equal((await virtual.tcp(FOREIGN[f], 443)).answer, `far side saw ${VIRTUAL[f]}`)
      t.equal((await virtual.udp(FOREIGN[f], 443)).answer, `far side saw ${VIRTUAL[f]}`)
      const before = arrivals().llm
      const counted = await growth(nft, ['egress_tcp', 'egress_udp'], async () => {
        for (const port of [443, 9999]) t.equal((await virtual.tcp(LLM[f], port, IN_VAIN)).answer, 'silence')
        t.equal((await virtual.udp(LLM[f], 443, IN_VAIN)).answer, 'silence')
      })
      t.ok(counted >= 3, 'each is counted')
      const packet = datagram(f, LLM[f], 443, VIRTUAL[f])
      await proveStopped(t, virtual, disguises(f, packet, 'virtual0', virtualLink))
      t.equal(arrivals().llm, before)
    }
  })

  await t.test('connection tracking in the container does not help it', async (t) => {
    sh(
      'ip',
      'netns',
      'exec',
      'virtual',
      'nft',
      'add table inet own; add chain inet own out { type filter hook output priority 0; }; add rule inet own out ct state new ct mark set 7 meta mark set 7 accept',
    )
    const before = arrivals().llm
    for (const f of FAMILIES) t.equal((await virtual.tcp(LLM[f], 443, IN_VAIN)).answer, 'silence')
    t.equal(arrivals().llm, before)
  })

  await t.test('packets with a header of the sender’s own are refused like everybody’s', async (t) => {
    for (const f of FAMILIES) {
      const before = arrivals().llm
      const send = (packet: Buffer) =>
        root.packet({ address: LLM[f], protocol: IPPROTO_RAW, bytes: packet.toString('hex') })
      const ends = { from: HOST[f], to: LLM[f] }
      const counted = await growth(nft, ['refused_quic', 'refused_tcp'], async () => {
        t.match((await send(datagram(f, LLM[f], 443))).answer, REFUSED)
        t.match((await send(ip(ends, TCP, tcp(ends, { port: 8443 }, ACK)))).answer, REFUSED)
      })
      t.equal(counted, 2)
      const redirected = await growth(nft, 'redirected', () => send(opening(f, LLM[f], 8443)))
      t.equal(redirected, 1, 'an opening goes to the proxy')
      t.equal(arrivals().llm, before)
    }
  })

  await t.test('a connection that was made known to conntrack before its SYN is refused', async (t) => {
    const source = 41_000
    for (const [who, from] of [
      [rawAgent, HOST],
      [cast.hire({ uid: 0, namespace: 'container' }), CONTAINER],
    ] as const) {
      for (const f of FAMILIES) {
        const ends = { from: from[f], to: FOREIGN[f] }
        // Conntrack takes it for the middle of a connection; nobody answers it.
        const early = tcp(ends, { source, port: 443 }, ACK)
        await who.packet({ address: FOREIGN[f], protocol: TCP, bytes: early.toString('hex') })
        const counted = await growth(nft, 'refused_unredirected', async () =>
          t.match((await who.tcp(FOREIGN[f], 443, { localPort: source })).answer, REFUSED),
        )
        t.equal(counted, 1)
        t.match((await who.tcp(FOREIGN[f], 443)).answer, /^proxy: to/, 'another is redirected')
      }
    }
  })

  await t.test('flushing the fence opens nothing while the daemon lives', async (t) => {
    nftScript('flush ruleset')
    for (const f of FAMILIES) {
      const before = arrivals().llm
      const counted = await growth(nft, 'refused_quic', async () =>
        t.match((await agent.udp(LLM[f], 443)).answer, REFUSED),
      )
      t.equal(counted, 1)
      t.match((await container.udp(LLM[f], 443)).answer, REFUSED)
      await proveStopped(t, root, disguises(f, datagram(f, LLM[f], 443)).slice(0, 5))
      t.match((await agent.tcp(LLM[f], 443)).answer, /^proxy: to/)
      t.equal(arrivals().llm, before)
    }
    t.throws(() => nftScript('delete table netdev aa_redirect'), 'and nobody removes what the daemon owns')
    await applyFence(nft, enforcement)
  })

  await t.test('frames are stopped on a device that becomes an uplink, and the daemon dead', async (t) => {
    sh('ip', 'link', 'add', 'uplink2', 'type', 'veth', 'peer', 'name', 'host2', 'netns', 'internet')
    sh('ip', 'link', 'set', 'uplink2', 'up')
    sh('ip', '-n', 'internet', 'link', 'set', 'host2', 'up')
    const other = { from: hardwareAddress('uplink2'), to: hardwareAddress('host2', 'internet') }
    const packet = datagram(4, LLM[4], 443)
    const each = { device: 'uplink2', protocol: TYPE[4], bytes: ethernet(other, [TYPE[4]], packet) }
    const before = arrivals().llm
    await root.frame(each)
    t.equal(arrivals().llm - before, 1, 'while it is none')
    const both = { ...enforcement, uplinks: [UPLINK, 'uplink2', 'not-there-yet'] }
    await redirect.update(both)
    await proveStopped(t, root, [['by the daemon’s tables', each]])
    await redirect.stop()
    await applyFence(nft, both)
    await proveStopped(t, root, [
      ['by the fence', each],
      ['by the fence on the other device', frame(4, packet)],
    ])
    sh('ip', 'link', 'delete', 'uplink2')
    await applyFence(nft, both)
    await proveStopped(t, root, [['when one is gone', frame(4, packet)]])
  })

  await t.test('with a fence around everything, frames carry nothing but what is allowed', async (t) => {
    await raise(strict)
    for (const f of FAMILIES) {
      const before = arrivals().foreign
      const ends = { from: HOST[f], to: FOREIGN[f] }
      const packets = [
        datagram(f, FOREIGN[f], 9),
        opening(f, FOREIGN[f], 9),
        ip(ends, TCP, tcp(ends, { port: 9 }, ACK)),
        ip(ends, 132, Buffer.alloc(16)),
        ip(ends, f === 4 ? 1 : 58, echo(f)),
      ]
      for (const packet of packets) t.equal(await growth(nft, EGRESS, () => root.frame(frame(f, packet))), 1)
      t.equal(arrivals().foreign, before)
    }
    const question = (who: Agent) => {
      const ends = { from: '0.0.0.0', to: '255.255.255.255' }
      const packet = ip(ends, UDP, udp(ends, { source: 68, port: 67 }))
      return who.frame(
        frame(4, packet, { bytes: ethernet({ ...link, to: 'ff:ff:ff:ff:ff:ff' }, [TYPE[4]], packet) }),
      )
    }
    const before = arrivals().broadcast
    await question(root)
    t.equal(arrivals().broadcast - before, 1, 'a DHCP client that runs as root asks')
    await question(rawAgent)
    t.equal(arrivals().broadcast - before, 1, 'an agent does not')
    for (const f of FAMILIES) {
      const foreign = arrivals().foreign
      const counted = await growth(nft, ['egress_tcp', 'egress_udp'], async () => {
        t.equal(
          (await virtual.tcp(FOREIGN[f], 9999, IN_VAIN)).answer,
          'silence',
          'nor does a macvlan container',
        )
        t.equal((await virtual.udp(FOREIGN[f], 443, IN_VAIN)).answer, 'silence')
      })
      t.ok(counted >= 2)
      t.equal(arrivals().foreign, foreign)
    }
    await redirect.stop()
  })

  await t.test('a fence around nothing counts the frames and lets them pass', async (t) => {
    await applyFence(nft, { ...enforcement, fence: 'nothing' })
    const before = arrivals().llm
    const counted = await growth(nft, 'seen_egress', async () => {
      for (const f of FAMILIES) {
        await root.frame(frame(f, datagram(f, LLM[f], 443)))
        t.equal((await virtual.udp(LLM[f], 443)).answer, `far side saw ${VIRTUAL[f]}`)
      }
    })
    t.equal(counted, 4)
    t.equal(arrivals().llm - before, 4)
  })

  await t.test('a queue that is held takes no AF_XDP socket of anybody else', async (t) => {
    const [holder, rival] = [xdpQueues(), xdpQueues()]
    t.same(holder.hold([UPLINK, 'not-there']), [])
    t.same(holder.hold([UPLINK]), [], 'holding again is nothing new')
    t.same(rival.hold([UPLINK])[0], { device: UPLINK, queue: 0, why: 'taken' })
    t.equal((await agent.tcp(FOREIGN[4], 8080)).answer, `far side saw ${HOST[4]}`, 'traffic goes on')
    holder.hold([])
    t.same(await heldAtLast(rival, UPLINK), [], 'until it is let go')
    rival.close()
    holder.close()
  })

  await t.test(
    'a held device can be renamed, moved and deleted; one that comes back is held again',
    async (t) => {
      const [holder, rival] = [xdpQueues(), xdpQueues()]
      sh('ip', 'link', 'add', 'spare', 'type', 'veth', 'peer', 'name', 'spare-far')
      t.same(holder.hold(['spare']), [])
      sh('ip', 'link', 'set', 'spare', 'name', 'renamed')
      t.same(holder.devices(), ['renamed'])
      t.same(holder.hold(['renamed']), [])
      t.match(rival.hold(['renamed']), [{ why: 'taken' }], 'under another name')
      sh('ip', 'link', 'set', 'renamed', 'netns', 'container')
      sh('ip', '-n', 'container', 'link', 'set', 'renamed', 'netns', `${process.pid}`)
      t.same(holder.hold(['renamed']), [])
      t.match(rival.hold(['renamed']), [{ why: 'taken' }], 'after a journey')
      sh('ip', 'link', 'delete', 'renamed')
      t.same(holder.hold(['renamed']), [])
      t.same(holder.devices(), [])
      rival.close()
      holder.close()
    },
  )

  await removeFence(nft)
}

/** The kernel lets go of a queue a moment after its socket is closed. */
async function heldAtLast(queues: XdpQueues, device: string) {
  let open = queues.hold([device])
  for (let tries = 0; open.length > 0 && tries < 100; tries++) {
    await pause(10)
    open = queues.hold([device])
  }
  return open
}
