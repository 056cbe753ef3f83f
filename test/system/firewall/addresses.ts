/** Addresses that are another's in disguise, and addresses that nobody may reach in the proxy's name. */
import { writeFileSync } from 'node:fs'
import t from 'tap'
import type { Enforcement } from '../../../firewall/enforcement.ts'
import { applyFence, removeFence } from '../../../firewall/fence.ts'
import { addressBytes } from '../../../firewall/ip-address.ts'
import { type Redirect, startRedirect } from '../../../firewall/redirect-owner.ts'
import type { Cast } from './cast.ts'
import { enforcement } from './enforcement.ts'
import { growth, IN_VAIN, REFUSED } from './expectations.ts'
import { ethernet, IPPROTO_RAW, ip, SYN, TCP, tcp, UDP, udp } from './packets.ts'
import { AGENT_UID, BRIDGE_DEVICE, CONTAINER, HOST, LLM, ROUTER, UPLINK } from './places.ts'
import { hardwareAddress, nftScript, sh } from './world.ts'

/** The provider's and the foreign host's IPv4 addresses behind the well-known prefix of NAT64 and a network's own. */
/** The well-known one (RFC 6052), of which frames are judged too, and one of a network's own. */
const WELL_KNOWN = '64:ff9b::'
const PREFIXES = [WELL_KNOWN, '2001:db8:64:64::']
const [LLM_TAIL, FOREIGN_TAIL] = ['cb00:710a', 'cb00:7114']
const METADATA = ['169.254.169.254', 'fd00:ec2::254'] as const

export async function proveAddresses(cast: Cast): Promise<void> {
  const { nft, agent, root, exempt, rawAgent, container } = cast
  const far = [
    ...PREFIXES.flatMap((prefix) => [LLM_TAIL, FOREIGN_TAIL].map((tail) => `${prefix}${tail}`)),
    ...METADATA,
  ]
  for (const address of far) {
    const length = address.includes(':') ? 128 : 32
    sh('ip', '-n', 'internet', 'address', 'add', `${address}/${length}`, 'dev', 'lo')
  }
  let redirect: Redirect
  const raise = async (e: Enforcement) => {
    await applyFence(nft, e)
    redirect = await startRedirect(e)
  }

  await t.test('an IPv4 address of a provider behind a NAT64 prefix is the provider’s', async (t) => {
    await raise({ ...enforcement, addresses4: ['198.18.0.1'] })
    // As it comes later, too.
    await redirect.update({ ...enforcement, addresses4: [LLM[4]] })
    for (const prefix of PREFIXES) {
      const [llm, foreign] = [`${prefix}${LLM_TAIL}`, `${prefix}${FOREIGN_TAIL}`]
      t.match((await agent.tcp(llm, 9999)).answer, `proxy: to ${llm} port 9999 by ${AGENT_UID}`)
      t.match((await container.tcp(llm, 9999)).answer, `proxy: to ${llm} port 9999`)
      t.equal((await agent.tcp(foreign, 9999)).answer, `far side saw ${HOST[6]}`, 'another host is not')
      t.equal((await exempt.tcp(llm, 9999)).answer, `far side saw ${HOST[6]}`, 'the proxy gets there')
      const quic = await growth(nft, 'refused_quic', async () => {
        for (const who of [agent, container]) t.match((await who.udp(llm, 443)).answer, REFUSED)
      })
      t.equal(quic, 2)
      const ends = { from: HOST[6], to: llm }
      const bytes = ethernet(
        { from: hardwareAddress(UPLINK), to: hardwareAddress('host', 'internet') },
        [0x86dd],
        ip(ends, TCP, tcp(ends, { port: 9999 }, SYN)),
      )
      const framed = await growth(nft, 'egress_tcp', () =>
        rawAgent.frame({ device: UPLINK, protocol: 0x86dd, bytes }),
      )
      t.equal(framed, prefix === WELL_KNOWN ? 1 : 0)
    }
    await redirect.stop()
    for (const prefix of PREFIXES) {
      for (const who of [agent, root, container])
        t.match((await who.tcp(`${prefix}${LLM_TAIL}`, 443)).answer, REFUSED, 'with the daemon dead')
      t.equal((await agent.tcp(`${prefix}${FOREIGN_TAIL}`, 443)).answer, `far side saw ${HOST[6]}`)
    }
  })

  await t.test('a packet that hides where it goes in a source route is refused', async (t) => {
    // Else a container's would not even be passed on.
    for (const device of ['all', BRIDGE_DEVICE])
      writeFileSync(`/proc/sys/net/ipv4/conf/${device}/accept_source_route`, '1')
    await raise(enforcement)
    const rawContainer = cast.hire({ uid: 0, namespace: 'container' })
    for (const [who, at] of [
      [rawAgent, HOST],
      [root, HOST],
      [rawContainer, CONTAINER],
    ] as const) {
      const packet = (address: string, bytes: Buffer) =>
        who.packet({ address, protocol: IPPROTO_RAW, bytes: bytes.toString('hex') })
      t.equal(await growth(nft, 'refused_quic', () => packet(ROUTER[4], looselyRouted(at[4]))), 1)
      t.equal(await growth(nft, 'refused_quic', () => packet(ROUTER[6], segmentRouted(at[6]))), 1)
    }
    await redirect.stop()
  })

  await t.test(
    'a machine’s credentials stay behind the administrator’s rules, not behind the proxy',
    async (t) => {
      const admin = METADATA.map((address) => `${address.includes(':') ? 'ip6' : 'ip'} daddr ${address}`)
      nftScript(`table inet admin { chain out { type filter hook output priority 0
      ${admin.map((match) => `meta skuid != 0 ${match} reject with tcp reset`).join('\n')}
    }
    }`)
      await raise(enforcement)
      for (const address of METADATA) {
        t.match((await agent.tcp(address, 80)).answer, REFUSED)
        t.match((await root.tcp(address, 80)).answer, 'far side saw', 'not by way of the proxy')
        t.match((await container.tcp(address, 80)).answer, 'far side saw', 'nor for those behind a bridge')
      }
      await redirect.stop()
      const strict: Enforcement = { ...enforcement, fence: 'everything', redirect: 'all' }
      await raise(strict)
      for (const address of METADATA) {
        const counted = await growth(nft, 'refused_tcp', async () =>
          t.match((await root.tcp(address, 80, IN_VAIN)).answer, REFUSED),
        )
        t.ok(counted > 0, 'with a fence around everything it is refused')
      }
      await redirect.update({ ...strict, allowed: [{ protocol: 'tcp', ports: [80], uids: [0] }] })
      await applyFence(nft, { ...strict, allowed: [{ protocol: 'tcp', ports: [80], uids: [0] }] })
      for (const address of METADATA)
        t.match((await root.tcp(address, 80)).answer, 'far side saw', 'until allowed')
      await redirect.stop()
      nftScript('delete table inet admin')
    },
  )

  await removeFence(nft)
}

/** To the provider by way of the router: loose source and record route (RFC 791), in a header of 28 bytes. */
function looselyRouted(from: string): Buffer {
  const ends = { from, to: ROUTER[4] }
  const plain = ip(ends, UDP, udp(ends, { port: 443 }))
  const option = Buffer.from([0x83, 7, 4, ...LLM[4].split('.').map(Number), 0])
  const packet = Buffer.concat([plain.subarray(0, 20), option, plain.subarray(20)])
  packet.writeUInt8(0x47, 0)
  packet.writeUInt16BE(packet.length, 2)
  return packet
}

/** The same by a segment routing header (RFC 8754) with one segment left. */
function segmentRouted(from: string): Buffer {
  const ends = { from, to: ROUTER[6] }
  const plain = ip(ends, UDP, udp(ends, { port: 443 }))
  const segments = [LLM[6], ROUTER[6]].map((address) => addressBytes(address) ?? Buffer.alloc(0))
  const header = Buffer.concat([Buffer.from([UDP, 4, 4, 1, 1, 0, 0, 0]), ...segments])
  const packet = Buffer.concat([plain.subarray(0, 40), header, plain.subarray(40)])
  packet.writeUInt16BE(packet.length - 40, 4)
  packet.writeUInt8(43, 6)
  return packet
}
