/** With a fence around everything answers pass: packets that feign a caller, so that an accomplice may answer. */
import t from 'tap'
import type { Enforcement } from '../../../firewall/enforcement.ts'
import { applyFence, removeFence } from '../../../firewall/fence.ts'
import { startRedirect } from '../../../firewall/redirect-owner.ts'
import type { Cast } from './cast.ts'
import { enforcement } from './enforcement.ts'
import { FAMILIES, growth, IN_VAIN, REFUSED } from './expectations.ts'
import { ethernet, IPPROTO_RAW, ip, SYN, TCP, tcp, UDP, udp } from './packets.ts'
import { BRIDGE_DEVICE, CONTAINER, FOREIGN, HOST, LOOPBACK, UPLINK } from './places.ts'
import { type Agent, arrivals, hardwareAddress, sh } from './world.ts'

const STRICT: Enforcement = { ...enforcement, fence: 'everything', redirect: 'all' }
const TYPE = { 4: 0x0800, 6: 0x86dd } as const
const NOWHERE = '00:00:00:00:00:00'
const VXLAN_PORT = 4789
const NETWORK_ID = 7

type Family = 4 | 6

export async function proveForgeries(cast: Cast): Promise<void> {
  const { nft, agent, rawAgent, container, outsider } = cast
  const rawContainer = cast.hire({ uid: 0, namespace: 'container' })
  let lastPort = 5600

  /** A datagram or opening that FOREIGN seems to send. */
  const feigned = (f: Family, to: string, port: number, protocol: number) => {
    const ends = { from: FOREIGN[f], to }
    return protocol === UDP
      ? ip(ends, UDP, udp(ends, { source: 443, port }))
      : ip(ends, TCP, tcp(ends, { source: 8080, port }, SYN))
  }
  const inTunnel = (packet: Buffer, f: Family): Buffer => {
    const link = { from: hardwareAddress(UPLINK), to: hardwareAddress('vxlan7') }
    const header = Buffer.from([8, 0, 0, 0, 0, 0, NETWORK_ID, 0])
    return Buffer.concat([header, Buffer.from(ethernet(link, [TYPE[f]], packet), 'hex')])
  }
  interface Way {
    readonly name: string
    readonly accomplice: Agent
    readonly to: Readonly<Record<Family, string>>
    send(f: Family, packet: Buffer): Promise<unknown>
  }
  const ways: Way[] = [
    {
      name: 'a header of one’s own',
      accomplice: agent,
      to: HOST,
      send: (f, packet) =>
        rawAgent.packet({ address: HOST[f], protocol: IPPROTO_RAW, bytes: packet.toString('hex') }),
    },
    {
      name: 'a frame on the loopback device',
      accomplice: agent,
      to: HOST,
      send: (f, packet) =>
        rawAgent.frame({
          device: 'lo',
          protocol: TYPE[f],
          bytes: ethernet({ from: NOWHERE, to: NOWHERE }, [TYPE[f]], packet),
        }),
    },
    {
      name: 'a container’s frame to the host',
      accomplice: agent,
      to: HOST,
      send: (f, packet) => fromContainer(f, packet),
    },
    {
      name: 'a container’s frame to itself',
      accomplice: container,
      to: CONTAINER,
      send: (f, packet) => fromContainer(f, packet),
    },
    {
      name: 'a tunnel that takes packets from anybody',
      accomplice: agent,
      to: HOST,
      send: (f, packet) => {
        const ends = { from: LOOPBACK[4], to: LOOPBACK[4] }
        const outer = ip(ends, UDP, udp(ends, { port: VXLAN_PORT }, inTunnel(packet, f)))
        return rawAgent.packet({
          address: LOOPBACK[4],
          protocol: IPPROTO_RAW,
          bytes: outer.toString('hex'),
        })
      },
    },
  ]
  const fromContainer = (f: Family, packet: Buffer) =>
    rawContainer.frame({
      device: 'eth0',
      protocol: TYPE[f],
      bytes: ethernet(
        { from: hardwareAddress('eth0', 'container'), to: hardwareAddress(BRIDGE_DEVICE) },
        [TYPE[f]],
        packet,
      ),
    })

  for (const daemon of ['alive', 'dead'] as const) {
    await t.test(`an answer to a call that nobody made is refused, the daemon ${daemon}`, async (t) => {
      sh('ip', 'link', 'add', 'vxlan7', 'type', 'vxlan', 'id', `${NETWORK_ID}`, 'dstport', `${VXLAN_PORT}`)
      sh('ip', 'link', 'set', 'vxlan7', 'up')
      await applyFence(nft, STRICT)
      const redirect = daemon === 'alive' ? await startRedirect(STRICT) : undefined
      const before = arrivals().foreign
      for (const f of FAMILIES) {
        for (const { name, accomplice, to, send } of ways) {
          for (const protocol of [UDP, TCP]) {
            const localPort = ++lastPort
            const what = `${name}, ${protocol === UDP ? 'UDP' : 'TCP'} over IPv${f}`
            const packet = feigned(f, to[f], localPort, protocol)
            const counted = await growth(nft, 'refused_forged', () => send(f, packet))
            t.equal(counted, 1, what)
            const more = { localPort, ...IN_VAIN }
            const { answer } =
              protocol === UDP
                ? await accomplice.udp(FOREIGN[f], 443, more)
                : await accomplice.tcp(FOREIGN[f], 8080, more)
            t.notMatch(answer, 'far side', what)
            if (!redirect) t.match(answer, REFUSED, what)
          }
        }
      }
      t.equal(arrivals().foreign, before, 'nothing arrives')
      sh('ip', 'link', 'delete', 'vxlan7')
      await redirect?.stop()
    })
  }

  await t.test(
    'who was really called answers, and local calls under any address of the host pass',
    async (t) => {
      await agent.serve(5599)
      for (const f of FAMILIES) {
        t.equal((await outsider.tcp(HOST[f], 5599)).answer, 'served')
        t.equal((await container.tcp(HOST[f], 5599)).answer, 'served')
        for (const to of [HOST[f], LOOPBACK[f]]) t.equal((await agent.tcp(to, 5599)).answer, 'served')
      }
      const near = linkLocal(UPLINK)
      t.equal((await agent.tcp(`${near}%${UPLINK}`, 5599)).answer, 'served')
      t.equal((await outsider.tcp(`${near}%host`, 5599)).answer, 'served', 'from the same link')
    },
  )

  await removeFence(nft)
}

function linkLocal(device: string): string {
  return /fe80:[0-9a-f:]+/.exec(sh('ip', '-6', 'address', 'show', 'dev', device))?.[0] ?? ''
}
