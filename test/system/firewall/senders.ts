/** Whose traffic is governed: users, groups, control groups, bridges; and whose is let alone. */
import { mkdirSync, rmdirSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { watchCgroups } from '../../../firewall/cgroups.ts'
import type { Enforcement, Senders } from '../../../firewall/enforcement.ts'
import { applyFence, removeFence } from '../../../firewall/fence.ts'
import { renderBootFence } from '../../../firewall/nftables.ts'
import { startRedirect } from '../../../firewall/redirect-owner.ts'
import type { Cast } from './cast.ts'
import { enforcement } from './enforcement.ts'
import { FAMILIES, growth, REFUSED } from './expectations.ts'
import {
  AGENT_UID,
  CONTAINER,
  EXEMPT_GID,
  EXEMPT_UID,
  FOREIGN,
  HOST,
  LLM,
  PROXY_UID,
  SUBJECT_GID,
} from './places.ts'
import { type Agent, CGROUP, nftScript } from './world.ts'

const NOBODY: Senders = { uids: [], gids: [], cgroups: [] }

export async function proveSenders(cast: Cast): Promise<void> {
  const { nft, agent, root, exempt, member, exemptUser, exemptGroup, subjectGroup, container } = cast

  const governed = async (t: Test, who: Agent, name: string) => {
    for (const f of FAMILIES) {
      t.match((await who.tcp(LLM[f], 443)).answer, /^proxy: to/, `${name} is redirected`)
      t.match((await who.tcp(FOREIGN[f], 443)).answer, /^proxy: to/, `${name} is redirected elsewhere too`)
      t.equal(
        await growth(nft, 'refused_quic', async () =>
          t.match((await who.udp(LLM[f], 443)).answer, REFUSED, `${name} is fenced`),
        ),
        1,
      )
    }
  }
  const letAlone = async (t: Test, who: Agent, name: string) => {
    for (const f of FAMILIES) {
      const saw = `far side saw ${who === container ? CONTAINER[f] : HOST[f]}`
      t.equal((await who.tcp(LLM[f], 443)).answer, saw, `${name} is not redirected`)
      t.equal((await who.udp(LLM[f], 443)).answer, saw, `${name} is not fenced`)
      t.equal((await who.tcp(FOREIGN[f], 443)).answer, saw)
    }
  }
  const under = async (e: Enforcement, act: () => Promise<void>) => {
    await applyFence(nft, e)
    const redirect = await startRedirect(e)
    await act()
    await redirect.stop()
    await removeFence(nft)
  }

  await t.test('subjects by user and group, and what comes from the bridges', async (t) => {
    const subjects = { ...NOBODY, uids: [AGENT_UID], gids: [SUBJECT_GID] }
    await under({ ...enforcement, subjects }, async () => {
      await governed(t, agent, 'the user')
      await governed(t, subjectGroup, 'a member of the group')
      await governed(t, container, 'the container')
      await letAlone(t, root, 'root')
      await letAlone(t, member, 'another user')
      await letAlone(t, exempt, 'the proxy')
    })
  })

  await t.test('without bridges, what is forwarded is let alone', async (t) => {
    await under({ ...enforcement, bridges: [] }, async () => {
      await governed(t, agent, 'the user')
      await letAlone(t, container, 'the container')
    })
  })

  await t.test('a fence around everything is one around the subjects', async (t) => {
    const subjects = { ...NOBODY, uids: [AGENT_UID] }
    await under({ ...enforcement, fence: 'everything', redirect: 'all', subjects }, async () => {
      t.match((await agent.udp(FOREIGN[4], 123)).answer, REFUSED)
      t.match((await agent.tcp(FOREIGN[4], 9999)).answer, /^proxy: to/)
      t.equal((await root.udp(FOREIGN[4], 123)).answer, `far side saw ${HOST[4]}`)
      t.equal((await root.tcp(FOREIGN[4], 9999)).answer, `far side saw ${HOST[4]}`)
      await letAlone(t, root, 'root')
    })
  })

  await t.test(
    'exempt users and groups are neither redirected nor fenced, even with everything fenced',
    async (t) => {
      const exemption = { ...NOBODY, uids: [EXEMPT_UID], gids: [EXEMPT_GID] }
      for (const fence of ['providers', 'everything'] as const) {
        await under({ ...enforcement, fence, exempt: exemption }, async () => {
          await letAlone(t, exemptUser, 'the exempt user')
          await letAlone(t, exemptGroup, 'a member of the exempt group')
          await governed(t, agent, 'anybody else')
        })
      }
    },
  )

  await t.test('subjects and exemptions by control group, whatever lies beneath', async (t) => {
    for (const each of ['agents', 'agents/one', 'spared']) mkdirSync(`/sys/fs/cgroup/${CGROUP}/${each}`)
    const inside = cast.hire({ uid: 0, cgroup: `${CGROUP}/agents/one` })
    const spared = cast.hire({ uid: AGENT_UID, cgroup: `${CGROUP}/spared` })
    const e: Enforcement = {
      ...enforcement,
      subjects: { uids: [AGENT_UID], gids: [], cgroups: [`${CGROUP}/agents`] },
      exempt: { ...NOBODY, cgroups: [`${CGROUP}/spared`, 'not-there.slice/at-all'] },
    }
    await under(e, async () => {
      await governed(t, inside, 'root in the group')
      await letAlone(t, root, 'root outside of it')
      await governed(t, agent, 'the user')
      await letAlone(t, spared, 'the user in the exempt group')
    })
    await Promise.all([inside.stop(), spared.stop()])
    for (const each of ['agents/one', 'agents', 'spared']) rmdirSync(`/sys/fs/cgroup/${CGROUP}/${each}`)
  })

  await t.test('a control group that comes later, and comes again under its name, is governed', async (t) => {
    const path = `${CGROUP}/later/service`
    const e: Enforcement = { ...enforcement, subjects: { ...NOBODY, cgroups: [path] } }
    await applyFence(nft, e)
    const redirect = await startRedirect(e)
    let changes = 0
    const watch = watchCgroups([path], () => {
      changes++
    })
    const settled = async (count: number) => {
      const start = performance.now()
      while (changes < count && performance.now() - start < 3000) await pause(5)
      await applyFence(nft, e)
      await redirect.update(e)
      return performance.now() - start
    }
    await letAlone(t, root, 'root')
    for (const round of [1, 2]) {
      mkdirSync(`/sys/fs/cgroup/${CGROUP}/later`)
      mkdirSync(`/sys/fs/cgroup/${path}`)
      t.comment(`governed ${(await settled(2 * round - 1)).toFixed(0)} ms after it was made`)
      const inside = cast.hire({ uid: 0, cgroup: path })
      await governed(t, inside, `root in the group, time ${round}`)
      await letAlone(t, root, 'root outside of it')
      await inside.stop()
      rmdirSync(`/sys/fs/cgroup/${path}`)
      rmdirSync(`/sys/fs/cgroup/${CGROUP}/later`)
      await settled(2 * round)
    }
    watch.stop()
    await redirect.stop()
    await removeFence(nft)
  })

  await t.test('the fence of the next boot governs everybody until control groups are known', async (t) => {
    const e: Enforcement = {
      ...enforcement,
      uplinks: ['not-there'],
      subjects: { ...NOBODY, cgroups: ['not-there.slice'] },
    }
    nftScript(renderBootFence(e))
    for (const f of FAMILIES) {
      for (const who of [agent, root]) t.match((await who.tcp(LLM[f], 443)).answer, REFUSED)
      t.equal(
        (await exempt.tcp(LLM[f], 443)).answer,
        `far side saw ${HOST[f]}`,
        `but the proxy (${PROXY_UID})`,
      )
      t.equal((await root.tcp(FOREIGN[f], 443)).answer, `far side saw ${HOST[f]}`)
    }
    await applyFence(nft, e)
    for (const f of FAMILIES) t.equal((await root.tcp(LLM[f], 443)).answer, `far side saw ${HOST[f]}`)
    await removeFence(nft)
  })
}
