/** Uplinks that come and go while the sensor watches: what leaves by them is seen, and nothing else is missed for it. */
import { type ChildProcess, spawn } from 'node:child_process'
import t from 'tap'
import type { SensorSighting } from '../../../daemon/supervisor/sensor-process.ts'
import { startSensor } from '../../../daemon/supervisor/sensor-process.ts'
import { startSight } from '../../../daemon/supervisor/sight.ts'
import { watchUplinks } from '../../../firewall/uplinks.ts'
import { AGENT_UID, FOREIGN, PATH } from '../firewall/places.ts'
import { makeWorld, nftScript, sh } from '../firewall/world.ts'
import { ACCOUNT, log, pause, plugIn, quic, Sender, startMessage, totalOf, until } from './world.ts'

const RULES = `
table inet test {
  counter refused { }
  chain output { type filter hook output priority 10; policy accept;
    udp dport 9999 counter name refused log prefix "aa:udp " group 71 drop
  }
}
`
const BRIDGES = ['br-*']
/** More than there are spare captures. */
const MANY = 12

function refusedByKernel(): number {
  const { nftables } = JSON.parse(sh('nft', '-j', 'list', 'counters')) as {
    nftables: { counter?: { name: string; packets: number } }[]
  }
  return nftables.find(({ counter }) => counter?.name === 'refused')?.counter?.packets ?? 0
}

/** A TUN device that is up as long as the process lives, which ends with its stdin. */
function openTunnel(name: string): ChildProcess {
  const script = `
import fcntl, os, struct, subprocess, sys
IFF_TUN, IFF_NO_PI, TUNSETIFF = 1, 0x1000, 0x400454ca
tunnel = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tunnel, TUNSETIFF, struct.pack('16sH', b'${name}', IFF_TUN | IFF_NO_PI))
subprocess.run(['ip', 'address', 'add', '198.18.51.2/24', 'dev', '${name}'], check=True)
subprocess.run(['ip', 'link', 'set', '${name}', 'up'], check=True)
sys.stdin.read()
`
  return spawn('/usr/bin/python3', ['-c', script], { env: { PATH }, stdio: ['pipe', 'inherit', 'inherit'] })
}

export async function prove(script: string): Promise<void> {
  makeWorld()
  nftScript(RULES)
  const agent = new Sender(script, { uid: AGENT_UID })
  const flood = new Sender(script, { uid: AGENT_UID })
  const sightings: SensorSighting[] = []
  const told: string[] = []
  const watch = watchUplinks({
    bridges: BRIDGES,
    changed: (names) => sight.uplinks(names),
    failed: (error) => t.fail(error.message),
  })
  const sight = startSight({
    begin: startSensor,
    account: ACCOUNT,
    log,
    coverage: {
      lost: (cause, detail) => told.push(`lost ${cause} ${detail?.why}`),
      regained: () => {},
      gap: (cause, _from, _to, detail) => told.push(`gap ${cause} ${detail?.packets}`),
    },
    start: (uplinks) => startMessage(uplinks),
    uplinks: watch.names,
    resolvers: () => [],
    learned: () => {},
    sighting: (each) => sightings.push(each),
    strayed: () => {},
    groupOf: async () => undefined,
    stateChanged: () => {},
    changed: () => {},
    died: (how) => told.push(`died ${how}`),
  })
  t.teardown(async () => {
    watch.stop()
    for (const each of [agent, flood]) each.stop()
    await sight.stop()
  })
  await sight.child.ready
  t.same(watch.names, ['uplink'])

  /** Sends a governed hello there until it is seen, for a new link carries nothing for a moment. */
  const seenAt = (address: string, name: string) =>
    until(() => {
      void agent.send({ protocol: 'udp', address, port: 4433, pieces: [quic(name)] })
      return sightings.find(({ serverName }) => serverName === name)
    }, 8000)

  t.test('an uplink that appears is seen, and no refusal is missed for it', async (t) => {
    const pid = sight.child.state().pid
    const flooding = flood.send({
      ...{ protocol: 'udp', address: FOREIGN[4], port: 9999, pieces: [Buffer.from('x')] },
      ...{ times: 1500, everyMs: 1 },
    })
    await until(() => (refusedByKernel() > 100 ? true : undefined))
    const address = plugIn('second', 2)
    t.match(await seenAt(address, 'second.openai.azure.com'), {
      kind: 'leak',
      rule: 'quic-name',
      via: 'second',
      destination: { address },
    })
    const third = plugIn('third', 3)
    t.match(await seenAt(third, 'third.openai.azure.com'), { via: 'third' })
    t.ok(refusedByKernel() < 1500, 'packets were refused all the while')
    await flooding
    t.equal(refusedByKernel(), 1500)
    await until(() => (totalOf(sightings, 'udp') >= 1500 ? true : undefined), 25_000)
    t.equal(totalOf(sightings, 'udp'), 1500, 'and each is in a sighting')
    t.equal(sight.child.state().pid, pid, 'by the same sensor')
    t.same(told, [], 'which was blind to nothing')
  })

  t.test('a device made anew under its old name, and one that was renamed', async (t) => {
    sh('ip', 'link', 'delete', 'third')
    t.match(await seenAt(plugIn('third', 4), 'anew.openai.azure.com'), { via: 'third' })
    sh('ip', 'link', 'set', 'second', 'name', 'other')
    await until(() => (watch.names.includes('other') ? true : undefined))
    t.match(await seenAt('198.18.2.1', 'renamed.openai.azure.com'), { via: 'other' })
    t.same(told, [])
  })

  t.test('a link that goes down is watched when it is back, after a moment or later', async (t) => {
    for (const [name, ms] of Object.entries({ moment: 20, later: 1500 })) {
      sh('ip', 'link', 'set', 'uplink', 'down')
      await pause(ms)
      sh('ip', 'link', 'set', 'uplink', 'up')
      sh('ip', 'route', 'add', 'default', 'via', '192.0.2.1')
      t.match(await seenAt(FOREIGN[4], `${name}.openai.azure.com`), { via: 'uplink' }, name)
    }
    t.same(told, [])
  })

  t.test('what a tunnel carries, whose packets have no link header, is read too', async (t) => {
    const tunnel = openTunnel('tun5')
    t.teardown(() => tunnel.stdin?.end())
    await until(() => (watch.names.includes('tun5') ? true : undefined))
    t.match(await seenAt('198.18.51.1', 'tunnel.openai.azure.com'), { via: 'tun5' })
    t.same(told, [])
  })

  t.test(
    'more uplinks than there are captures left: the sensor starts anew, and says when it was blind',
    async (t) => {
      const devices = Array.from({ length: MANY }, (_, each) => each)
      for (const each of devices) plugIn(`many${each}`, 100 + each)
      for (const each of devices) {
        const name = `many${each}.openai.azure.com`
        t.match(await seenAt(`198.18.${100 + each}.1`, name), { via: `many${each}` })
      }
      t.match(told[0], /^lost sensor-blind /)
    },
  )

  t.test('a device that stays on the list and is not there is blindness', async (t) => {
    sight.uplinks([...watch.names, 'nowhere0'])
    const lost = 'lost sensor-blind nowhere0: the device is gone'
    t.ok(await until(() => told.find((each) => each === lost)))
  })
}
