/** Senders that the policy leaves alone, and those that it governs, at an uplink without rules. */
import { mkdirSync, rmdirSync } from 'node:fs'
import t from 'tap'
import type { SensorSighting } from '../../../daemon/supervisor/sensor-process.ts'
import { tlsHello } from '../../unit/sensor-fixture.ts'
import { AGENT_UID, EXEMPT_GID, FOREIGN, SUBJECT_GID } from '../firewall/places.ts'
import { CGROUP, makeWorld, message, sh, startRole, type Where } from '../firewall/world.ts'
import { pause, Sender, startWorld, until } from './world.ts'

const NOBODY = { uids: [], gids: [], cgroups: [] }
const EXEMPT_UID = 1601
const OTHER_UID = 1602
/** Longer than the sensor waits for a socket's group. */
const ANSWERED_MS = 6000
const ROOT = `/sys/fs/cgroup/${CGROUP}`

export async function prove(script: string): Promise<void> {
  makeWorld()
  const servers = startRole(script, 'servers', { namespace: 'internet' })
  await message(servers)
  // Where the hierarchy is elsewhere, as on older machines.
  sh('mount', '-t', 'cgroup2', 'cgroup2', '/sys/fs/cgroup')
  const groups = [ROOT, `${ROOT}/spared`, `${ROOT}/spared/beneath`, `${ROOT}/agents`]
  for (const each of groups) mkdirSync(each)
  const senders: Sender[] = []
  t.teardown(async () => {
    for (const each of senders) each.stop()
    servers.disconnect()
    await pause(500)
    for (const each of groups.toReversed()) rmdirSync(each)
  })

  /** A governed hello of somebody's past the proxy, over each of the two transports. */
  const leak = async (name: string, where: Where, stay = true) => {
    const sender = new Sender(script, where)
    senders.push(sender)
    await sender.send({
      ...{ protocol: 'tcp', address: FOREIGN[4], port: 8443, stay },
      pieces: [tlsHello(`${name}.openai.azure.com`)],
    })
  }
  const names = (sightings: readonly SensorSighting[]) =>
    [...new Set(sightings.map(({ serverName }) => serverName?.split('.')[0]))].toSorted()
  /** Waits for the last one's. */
  const settled = async (sightings: readonly SensorSighting[], last: string) => {
    await until(() => (names(sightings).includes(last) ? true : undefined))
    await pause(ANSWERED_MS)
  }

  t.test('exempt users, groups and control groups leave no leak; everybody else does', async (t) => {
    const exempt = { uids: [EXEMPT_UID], gids: [EXEMPT_GID], cgroups: [`${CGROUP}/spared`] }
    const { sensor, sightings, stop } = startWorld({ subjects: 'everyone', exempt })
    await sensor.ready
    await leak('user', { uid: EXEMPT_UID })
    await leak('group', { uid: OTHER_UID, gid: EXEMPT_GID })
    await leak('cgroup', { uid: OTHER_UID, cgroup: `${CGROUP}/spared` })
    await leak('beneath', { uid: 0, cgroup: `${CGROUP}/spared/beneath` })
    await leak('beside', { uid: OTHER_UID, cgroup: `${CGROUP}/agents` })
    await leak('container', { namespace: 'container' })
    await leak('gone', { uid: OTHER_UID, gid: EXEMPT_GID }, false)
    await leak('agent', { uid: AGENT_UID })
    await settled(sightings, 'agent')
    // Who is gone when his packet is read can't be told; whether he is by then is a race.
    const told = names(sightings).filter((name) => name !== 'gone')
    t.same(told, ['agent', 'beside', 'container'])
    t.match(
      sightings.find(({ serverName }) => serverName?.startsWith('beside')),
      { kind: 'leak', uid: OTHER_UID, rule: 'tls-name' },
    )
    await stop()
  })

  t.test('where the policy names its subjects nobody else leaks', async (t) => {
    const cgroups = [`${CGROUP}/agents`]
    const subjects = { uids: [AGENT_UID], gids: [SUBJECT_GID], cgroups }
    const { sensor, sightings, stop } = startWorld({ subjects, exempt: NOBODY })
    await sensor.ready
    await leak('nobody', { uid: OTHER_UID })
    await leak('member', { uid: OTHER_UID, gid: SUBJECT_GID })
    await leak('inside', { uid: OTHER_UID, cgroup: `${CGROUP}/agents` })
    await leak('subject', { uid: AGENT_UID })
    await settled(sightings, 'subject')
    t.same(names(sightings), ['inside', 'member', 'subject'])
    await stop()
  })
}
