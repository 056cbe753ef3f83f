import type { ChildProcess } from 'node:child_process'
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import type { Enforcement } from '../../../firewall/enforcement.ts'
import { applyFence, fencePresent, readCounters, removeFence } from '../../../firewall/fence.ts'
import { flowOwner } from '../../../firewall/flow-owner.ts'
import { openNftSession } from '../../../firewall/nft-session.ts'
import { renderFence, renderOwned } from '../../../firewall/nftables.ts'
import { type Redirect, startRedirect } from '../../../firewall/redirect-owner.ts'
import type { Cast } from './cast.ts'
import { enforcement } from './enforcement.ts'
import { AT_ONCE_MS, FAMILIES, REFUSED } from './expectations.ts'
import { DUMP_PORT } from './far-side.ts'
import {
  AGENT_UID,
  BRIDGE,
  CONTAINER,
  FOREIGN,
  GUARDED_PORT,
  HOST,
  LLM,
  LOOPBACK,
  PATH,
  PROXY_PORT,
} from './places.ts'
import { message, nftScript, sh, startRole } from './world.ts'

/** Tables of the kinds that Docker, firewalld and ufw keep. */
const FOREIGN_TABLES = `
table ip nat {
  chain DOCKER { iifname "docker0" return; }
  chain PREROUTING { type nat hook prerouting priority dstnat; policy accept; fib daddr type local jump DOCKER; }
  chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; ip saddr 172.17.0.0/16 oifname != "docker0" masquerade; }
}
table ip filter {
  chain ufw-user-input { tcp dport 22 accept; }
  chain INPUT { type filter hook input priority filter; policy accept; jump ufw-user-input; }
}
table inet firewalld {
  set zone { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.168.0.0/16 }; }
  chain filter_OUTPUT { type filter hook output priority filter + 10; policy accept; ip daddr @zone accept; }
}
`

export async function prove(cast: Cast): Promise<void> {
  const { script, nft, farSide, proxy, agent, root, exempt, member, container, outsider } = cast
  let redirect: Redirect

  await t.test('without rules everybody reaches the far side', async (t) => {
    for (const f of FAMILIES) {
      t.equal((await agent.tcp(LLM[f], 443)).answer, `far side saw ${HOST[f]}`)
      t.equal((await agent.udp(LLM[f], 443)).answer, `far side saw ${HOST[f]}`)
      t.equal((await container.tcp(LLM[f], 443)).answer, `far side saw ${CONTAINER[f]}`)
      await agent.tcp(LLM[f], 443, { keep: `llm${f}` })
      await agent.tcp(FOREIGN[f], 443, { keep: `foreign${f}` })
      await container.tcp(LLM[f], 443, { keep: `llm${f}` })
    }
    t.equal(await fencePresent(nft), false)
  })

  await t.test('tables of others stay byte for byte as they were', async (t) => {
    nftScript(FOREIGN_TABLES)
    const before = sh('nft', '-a', 'list', 'ruleset')
    const names = sh('nft', 'list', 'tables').trim().split('\n')
    const foreign = () => names.map((name) => sh('nft', '-a', 'list', ...name.split(' '))).join('')
    const foreignBefore = foreign()
    await applyFence(nft, enforcement)
    const owner = await startRedirect(enforcement)
    t.equal(foreign(), foreignBefore, 'with fence and redirect')
    await owner.stop()
    await removeFence(nft)
    t.equal(sh('nft', '-a', 'list', 'ruleset'), before, 'after both are gone')
    await removeFence(nft)
    t.equal(sh('nft', '-a', 'list', 'ruleset'), before, 'after removing what is not there')
  })

  await t.test('the kernel accepts what is rendered, and so judged it changes nothing', async (t) => {
    const before = sh('nft', 'list', 'ruleset')
    await nft.check(renderFence(enforcement))
    await nft.check(renderOwned({ ...enforcement, bridges: [], addresses4: [], addresses6: [], ports: [] }))
    t.equal(sh('nft', 'list', 'ruleset'), before)
    await t.rejects(nft.check('add rule inet nowhere output accept'), { code: 'rules-refused' })
  })

  await t.test('the fence alone refuses LLM addresses at once and lets the rest flow', async (t) => {
    // Unlike the connections before, these are known to conntrack as established when the fence comes.
    for (const f of FAMILIES) await agent.tcp(LLM[f], 443, { keep: `tracked${f}` })
    await applyFence(nft, enforcement)
    t.ok(await fencePresent(nft))
    await proveFence(t)
  })

  await t.test('connections opened before the fence are reset, foreign ones live on', async (t) => {
    redirect = await startRedirect(enforcement)
    for (const f of FAMILIES) {
      t.match((await agent.use(`llm${f}`)).answer, REFUSED, `agent IPv${f}`)
      t.match((await agent.use(`tracked${f}`)).answer, REFUSED, `agent IPv${f}, tracked before`)
      t.match((await container.use(`llm${f}`)).answer, REFUSED, `container IPv${f}`)
      t.equal((await agent.use(`foreign${f}`)).answer, 'again', `foreign IPv${f}`)
    }
  })

  await t.test('an agent is redirected and known with uid and original destination', async (t) => {
    for (const f of FAMILIES) {
      const to = async (address: string, port: number, uid = AGENT_UID, who = agent) =>
        t.equal((await who.tcp(address, port)).answer, `proxy: to ${address} port ${port} by ${uid}`)
      await to(LLM[f], 443)
      await to(LLM[f], 80)
      await to(LLM[f], 9999)
      await to(FOREIGN[f], 443)
      await to(FOREIGN[f], 80)
      await to(LLM[f], 443, 0, root)
    }
    t.equal((await agent.tcp(`::ffff:${LLM[4]}`, 443)).answer, `proxy: to ${LLM[4]} port 443 by ${AGENT_UID}`)
  })

  await t.test('foreign hosts are reached directly on other ports and over UDP', async (t) => {
    for (const f of FAMILIES) {
      t.equal((await agent.tcp(FOREIGN[f], 8080)).answer, `far side saw ${HOST[f]}`)
      t.equal((await agent.udp(FOREIGN[f], 443)).answer, `far side saw ${HOST[f]}`)
    }
  })

  await t.test('the exempt uid reaches the far side itself', async (t) => {
    for (const f of FAMILIES) t.equal((await exempt.tcp(LLM[f], 443)).answer, `far side saw ${HOST[f]}`)
  })

  await t.test('the last data of an exempt socket arrives after its owner closed it', async (t) => {
    const before = await readCounters(nft)
    for (const f of FAMILIES) {
      const received = message(farSide)
      await exempt.tcp(LLM[f], DUMP_PORT, { dump: 120_000 })
      t.same(await received, { dumped: 120_000, ending: 'end' })
    }
    t.same((await readCounters(nft)).refused_tcp, before.refused_tcp, 'nothing of it counts as refused')
  })

  await t.test('QUIC to an LLM address is refused at once', async (t) => {
    for (const f of FAMILIES) {
      for (const who of [agent, container]) {
        const { answer, ms } = await who.udp(LLM[f], 443)
        t.match(answer, REFUSED)
        t.ok(ms < AT_ONCE_MS, `${ms} ms`)
      }
      t.match((await agent.udp(LLM[f], 5000)).answer, REFUSED, 'on any port')
    }
  })

  await t.test(
    'a bridged container is redirected, has no owner here, and reaches foreign hosts',
    async (t) => {
      for (const f of FAMILIES) {
        t.equal((await container.tcp(LLM[f], 443)).answer, `proxy: to ${LLM[f]} port 443 by unknown`)
        t.equal((await container.tcp(LLM[f], 9999)).answer, `proxy: to ${LLM[f]} port 9999 by unknown`)
        t.equal((await container.tcp(FOREIGN[f], 443)).answer, `proxy: to ${FOREIGN[f]} port 443 by unknown`)
        t.equal((await container.tcp(FOREIGN[f], 8080)).answer, `far side saw ${CONTAINER[f]}`)
      }
      t.equal(proxy.seen.at(-1)?.client.address, CONTAINER[6], 'under its own address')
    },
  )

  await t.test('nobody dials the proxy directly', async (t) => {
    const before = (await readCounters(nft)).direct_dial?.packets ?? 0
    for (const f of FAMILIES) {
      for (const who of [agent, root, exempt]) {
        t.match((await who.tcp(LOOPBACK[f], PROXY_PORT)).answer, REFUSED, 'over loopback')
        t.match((await who.tcp(HOST[f], PROXY_PORT)).answer, REFUSED, 'over its own address')
      }
      t.match((await container.tcp(BRIDGE[f], PROXY_PORT)).answer, REFUSED, 'from a container')
      t.match((await outsider.tcp(HOST[f], PROXY_PORT)).answer, REFUSED, 'from outside')
    }
    t.ok(((await readCounters(nft)).direct_dial?.packets ?? 0) - before >= 16, 'each counts')
  })

  await t.test('a guarded port answers its users alone', async (t) => {
    for (const f of FAMILIES) {
      t.equal((await member.tcp(LOOPBACK[f], GUARDED_PORT)).answer, 'service')
      for (const who of [agent, root, exempt]) {
        t.match((await who.tcp(LOOPBACK[f], GUARDED_PORT)).answer, REFUSED)
        t.match((await who.tcp(HOST[f], GUARDED_PORT)).answer, REFUSED)
      }
      t.match((await container.tcp(BRIDGE[f], GUARDED_PORT)).answer, REFUSED, 'from a container')
      t.match((await outsider.tcp(HOST[f], GUARDED_PORT)).answer, REFUSED, 'from outside')
    }
  })

  await t.test('a socket bound to an interface is refused at once', async (t) => {
    for (const host of [LLM[4], `[${LLM[6]}]`]) {
      const start = performance.now()
      const code = await new Promise((resolve) => {
        const args = ['-s', '-m', '3', '--http0.9', '--interface', 'if!uplink', `http://${host}/`]
        execFile('curl', args, { env: { PATH }, uid: AGENT_UID }, (error) => resolve(error?.code))
      })
      t.equal(code, 7, 'curl: failed to connect')
      t.ok(performance.now() - start < AT_ONCE_MS)
    }
  })

  await t.test('applying again changes nothing, keeps the counts and the connections', async (t) => {
    await agent.tcp(LLM[4], 443, { keep: 'through' })
    const rules = () => sh('nft', 'list', 'table', 'inet', 'aa_fence')
    const before = rules()
    await applyFence(nft, enforcement)
    await applyFence(nft, enforcement)
    t.equal(rules(), before)
    t.match(before, /counter refused_quic \{\n\s+packets [1-9]/)
    t.equal((await agent.use('through')).answer, 'again')
  })

  await t.test('a fence of another shape is replaced as a whole', async (t) => {
    await removeFence(nft)
    nftScript(
      'table inet aa_fence { set llm4 { type inet_service; }; chain output { type filter hook output priority 0; }; }',
    )
    await applyFence(nft, enforcement)
    t.match(sh('nft', 'list', 'table', 'inet', 'aa_fence'), /hook output priority filter \+ 10/)
  })

  await t.test('addresses come and go without a reload', async (t) => {
    for (const f of FAMILIES) t.equal((await agent.tcp(FOREIGN[f], 9999)).answer, `far side saw ${HOST[f]}`)
    const both: Enforcement = {
      ...enforcement,
      addresses4: [LLM[4], FOREIGN[4]],
      addresses6: [LLM[6], FOREIGN[6]],
    }
    await redirect.update(both)
    await redirect.update(both)
    for (const f of FAMILIES) {
      t.match((await agent.tcp(FOREIGN[f], 9999)).answer, /^proxy: to/)
      t.match((await agent.udp(FOREIGN[f], 443)).answer, REFUSED, 'the fence knows them too')
    }
    await Promise.all([redirect.update(enforcement), redirect.update(enforcement)])
    for (const f of FAMILIES) {
      t.equal((await agent.tcp(FOREIGN[f], 9999)).answer, `far side saw ${HOST[f]}`)
      t.equal((await agent.udp(FOREIGN[f], 443)).answer, `far side saw ${HOST[f]}`)
    }
  })

  await t.test('addresses that the fence could not take are redirected all the same', async (t) => {
    await removeFence(nft)
    await t.rejects(redirect.update({ ...enforcement, addresses4: [LLM[4], FOREIGN[4]] }), {
      code: 'rules-refused',
    })
    t.match((await agent.tcp(FOREIGN[4], 9999)).answer, /^proxy: to/)
    await applyFence(nft, enforcement)
    await redirect.update(enforcement)
    t.equal((await agent.tcp(FOREIGN[4], 9999)).answer, `far side saw ${HOST[4]}`)
  })

  const promised = [
    [10_000, 1000],
    [30_000, 3000],
  ] as const
  for (const [count, most] of promised)
    await t.test(`${count} addresses are applied within ${most} ms`, async (t) => {
      const many: Enforcement = {
        ...enforcement,
        addresses4: Array.from({ length: count / 3 }, (_, i) => `100.64.${i >> 8}.${i & 255}`).concat(LLM[4]),
        addresses6: Array.from(
          { length: (2 * count) / 3 },
          (_, i) => `2001:db8:ffff::${i.toString(16)}`,
        ).concat(LLM[6]),
      }
      // The best of three: a machine that does other work besides says nothing about the rules.
      const timed = async (what: string, act: () => Promise<unknown>, undo?: () => Promise<unknown>) => {
        let best = Number.POSITIVE_INFINITY
        for (let round = 0; round < 3 && best >= 500; round++) {
          if (round > 0) await undo?.()
          const start = performance.now()
          await act()
          best = Math.min(best, performance.now() - start)
        }
        t.comment(`${what}: ${best.toFixed(0)} ms`)
        t.ok(best < most, what)
      }
      const back = () => redirect.update(enforcement)
      const there = () => redirect.update(many)
      await timed('fence with all addresses', () => applyFence(nft, many))
      await timed('the same again', () => applyFence(nft, many))
      await timed('redirect updated to all addresses', there, back)
      const one = { ...many, addresses4: [...many.addresses4, '100.65.0.1'] }
      await timed('one more address', () => redirect.update(one), there)
      await timed('a beat', () => redirect.beat())
      await timed('redirect and fence back to 2', back, there)
      await timed('counters', () => readCounters(nft))
      await redirect.stop()
      const start = async () => {
        redirect = await startRedirect(many)
      }
      await timed('redirect started with all addresses', start, () => redirect.stop())
      t.match((await agent.tcp(LLM[6], 443)).answer, /^proxy: to/)
      await redirect.stop()
      redirect = await startRedirect(enforcement)
      await applyFence(nft, enforcement)
    })

  await t.test('the kernel names the owner of a flow within microseconds', async (t) => {
    for (const f of FAMILIES) {
      const { localPort = 0 } = await agent.tcp(LLM[f], 443, { keep: `flow${f}` })
      const client = { address: HOST[f], port: localPort }
      const flow = { family: f, client, destination: { address: LLM[f], port: 443 } }
      t.equal(flowOwner(flow)?.uid, AGENT_UID)
      const rounds = 2000
      const start = process.hrtime.bigint()
      for (let i = 0; i < rounds; i++) flowOwner(flow)
      t.comment(
        `IPv${f}: ${(Number(process.hrtime.bigint() - start) / 1000 / rounds).toFixed(1)} µs a look-up`,
      )
      t.equal(
        flowOwner({ ...flow, destination: { address: LLM[f], port: 444 } }),
        undefined,
        'of that flow only',
      )
      const listener = { address: HOST[f], port: PROXY_PORT }
      t.equal(flowOwner({ ...flow, client: listener }), undefined, 'a listener on the port is no owner')
    }
  })

  await t.test('the redirect belongs to its owner', async (t) => {
    await t.rejects(startRedirect(enforcement), { name: 'FirewallError', code: 'not-permitted' })
    t.throws(() => nftScript('delete table inet aa_redirect'))
    sh('nft', 'flush', 'ruleset')
    t.match((await agent.tcp(LLM[4], 443)).answer, /^proxy: to/, 'a flush leaves it')
    t.equal(await fencePresent(nft), false)
    await applyFence(nft, enforcement)
  })

  await t.test('what nft says about a refused command comes through, and the session goes on', async (t) => {
    const session = await openNftSession()
    await t.rejects(session.run('add rule inet nowhere output accept'), {
      code: 'rules-refused',
      message: /No such file or directory[\s\S]*add rule inet nowhere output accept/,
    })
    await t.rejects(session.run('add table inet aa_try {frob'), {
      code: 'rules-refused',
      message: /syntax error/,
    })
    await session.run('add table inet aa_try { flags owner; }\nadd chain inet aa_try one')
    t.equal(await nft.ownership('inet', 'aa_try'), 'owned')
    await session.close()
    t.equal(await session.exited, 0)
    t.equal(await nft.ownership('inet', 'aa_try'), 'absent')
    await t.rejects(session.run('add table inet aa_try'), { code: 'redirect-lost' })
  })

  await t.test('a connection under way survives a restart of the owner', async (t) => {
    await agent.tcp(LLM[4], 443, { keep: 'lasting4' })
    await agent.tcp(LLM[6], 443, { keep: 'lasting6' })
    process.kill(redirect.pid, 'SIGKILL')
    t.equal(await redirect.exited, null, 'whose death is told')
    await t.rejects(redirect.update({ ...enforcement, addresses4: [] }), { code: 'redirect-lost' })
    await redirect.stop()
    for (const f of FAMILIES) t.equal((await agent.use(`lasting${f}`)).answer, 'again', 'while it is gone')
    t.equal(await nft.ownership('inet', 'aa_redirect'), 'absent')
    await proveFence(t)
    redirect = await startRedirect(enforcement)
    for (const f of FAMILIES) t.equal((await agent.use(`lasting${f}`)).answer, 'again', 'when it is back')
    await redirect.stop()
  })

  await t.test('a redirect that nobody owns is replaced', async (t) => {
    nftScript('add table inet aa_redirect')
    redirect = await startRedirect(enforcement)
    t.equal(await nft.ownership('inet', 'aa_redirect'), 'owned')
    await redirect.stop()
    t.equal(await nft.ownership('inet', 'aa_redirect'), 'absent')
  })

  await t.test('the redirect vanishes when its daemon is killed, and the fence stands', async (t) => {
    const daemon = startRole(script, 'owner', { uid: 0 })
    const { owner } = (await message(daemon)) as { owner: number }
    t.match((await agent.tcp(LLM[4], 443)).answer, /^proxy: to/, 'while it lives')
    t.equal(await timeToVanish(daemon, owner), true)
    await proveFence(t)
  })

  await t.test('once everything is removed nothing is refused any more', async (t) => {
    await removeFence(nft)
    for (const f of FAMILIES) t.equal((await agent.tcp(LLM[f], 443)).answer, `far side saw ${HOST[f]}`)
  })

  /** With the redirect gone: LLM addresses refused at once, on every port and protocol; others untouched. */
  async function proveFence(t: Test): Promise<void> {
    const before = await readCounters(nft)
    for (const f of FAMILIES) {
      for (const who of [agent, root, container]) {
        for (const port of [443, 9999]) {
          const { answer, ms } = await who.tcp(LLM[f], port)
          t.match(answer, REFUSED)
          t.ok(ms < AT_ONCE_MS, `${ms} ms`)
        }
        t.match((await who.udp(LLM[f], 443)).answer, REFUSED)
        t.equal(
          (await who.tcp(FOREIGN[f], 443)).answer,
          `far side saw ${who === container ? CONTAINER[f] : HOST[f]}`,
        )
      }
      t.equal((await exempt.tcp(LLM[f], 443)).answer, `far side saw ${HOST[f]}`)
    }
    const after = await readCounters(nft)
    const grown = (name: string) => (after[name]?.packets ?? 0) - (before[name]?.packets ?? 0)
    t.ok(grown('refused_tcp') >= 12 && grown('refused_quic') >= 6, 'and counted')
  }

  async function timeToVanish(daemon: ChildProcess, owner: number): Promise<boolean> {
    daemon.kill('SIGKILL')
    for (let tries = 0; tries < 100; tries++) {
      if ((await nft.ownership('inet', 'aa_redirect')) === 'absent' && !alive(owner)) return true
      await new Promise((later) => setTimeout(later, 20))
    }
    return false
  }
}

/** A zombie is dead: nobody here reaps orphans. */
function alive(pid: number): boolean {
  return existsSync(`/proc/${pid}/stat`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
}
