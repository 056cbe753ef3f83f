/** Whoever isn't the machine itself: numbers 44 to 46 and 49 to 51 of docs/bypass.md under `standard`. */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { OPENAI } from '../lab/addresses.ts'
import { enterLab } from '../lab/enter.ts'
import { collect } from '../lab/process.ts'
import { allowTunnels, withPasta, withSlirp } from '../lab/rootless.ts'
import { plugIn, SECOND_LINK, startGuest } from '../lab/uplink.ts'
import { answered, bytesCall, chat, get, httpsCall, inTurn, printed } from './bypass/attempts.ts'
import type { BypassCase } from './bypass/case.ts'
import { ends, everyFrame, madePackets } from './bypass/made-packets.ts'
import { forwardProxy, frames } from './bypass/packets.ts'
import { exchange, refusal } from './bypass/records.ts'
import { runSuites } from './bypass/suite.ts'
import { inside, within } from './bypass/within.ts'
import { openWorld } from './bypass/world.ts'

t.setTimeout(300_000)
await enterLab(import.meta.url)
const world = await openWorld()
const { lab } = world
t.teardown(() => world.stop())
await allowTunnels()

const AGENT = 4001
const SECOND_AGENT = 4002
const { name, address4, address6 } = OPENAI
const models = `https://${name}/v1/models`
const all = inTurn(world)
const captured = { result: 'captured', saw: 'proxy', counter: 'redirected' } as const
/** Packets that one program sends faster than the sensor tells of them are told as a count, every ten seconds. */
const SUMMED_UP_MS = 25_000

/** Names of bridges, a new one each time. */
let late = 0

/** Over both families from a captured place, `calls` of them, then from one where nothing can be captured. */
const thenRefused = (calls: number): Pick<BypassCase, 'client' | 'records' | 'recordWithinMs'> => ({
  client: (t, outcomes) => {
    answered(t, outcomes.slice(0, calls))
    for (const { code } of outcomes.slice(calls)) t.equal(code, 7, 'refused at once')
  },
  records: [
    exchange({ provider: 'openai', status: 200, address: address4 }),
    exchange({ provider: 'openai', status: 200, address: address6 }),
    refusal({ rule: /tcp/, address: address4, port: 443 }),
    refusal({ rule: /tcp/, address: address6, port: 443 }),
  ],
  recordWithinMs: SUMMED_UP_MS,
})

const cases: readonly BypassCase[] = [
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
    ...thenRefused(4),
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
    ...thenRefused(2),
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

runSuites(world, [{ policy: 'standard', cases }])
