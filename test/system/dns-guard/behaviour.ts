/** What must hold of the guard behind the redirections. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import dnsPacket from 'dns-packet'
import t from 'tap'
import winston from 'winston'
import type { Child } from '../../../daemon/supervisor/child.ts'
import {
  type DnsRefusal,
  type LearnedAddress,
  openDnsSockets,
  startDnsGuard,
} from '../../../daemon/supervisor/dns-guard-process.ts'
import { loadPolicy } from '../../../policies/policy.ts'
import { shippedDirectory } from '../../../policies/shipped.ts'
import { opt, wireMessage } from '../../unit/dns-wire-fixture.ts'
import type { Order, Outcome } from './client.ts'
import type { Asked } from './server.ts'
import {
  AGENT_UID,
  BRIDGE,
  FOREIGN,
  HOST,
  makeWorld,
  PORT,
  PROXY_UID,
  RESOLVER,
  redirect,
  resolvConf,
  STUB,
  STUB_UID,
  startRole,
  type Where,
} from './world.ts'

const GOVERNED = 'api.openai.com'
const TYPES = { A: 1, TXT: 16, AAAA: 28, HTTPS: 65 } as const

class Client {
  readonly #child: ChildProcess
  #last = 0

  constructor(script: string, where: Where) {
    this.#child = startRole(script, ['client'], where)
    t.teardown(() => this.#child.disconnect())
  }

  /** Questions sent at once; their answers as they came. */
  async ask(
    address: string,
    name: string,
    more: {
      type?: keyof typeof TYPES
      protocol?: 'udp' | 'tcp'
      times?: number
      port?: number
      edns?: boolean
    } = {},
  ) {
    const { type = 'A', protocol = 'udp', times = 1, port = 53, edns = false } = more
    const messages = Array.from({ length: times }, (_, i) =>
      wireMessage({
        id: 100 + i,
        flags: 0x0100,
        question: { name: times > 1 ? `${i}.${name}` : name, type: TYPES[type] },
        additionals: edns ? [opt()] : [],
      }),
    )
    const { answers, took } = await this.#order({ id: ++this.#last, protocol, address, port, messages })
    return {
      took,
      answers: answers.map((bytes) => ({
        ...dnsPacket.decode(Buffer.from(bytes)),
        bytes: Buffer.from(bytes),
      })),
    }
  }

  #order(order: Order): Promise<Outcome> {
    return new Promise((resolve) => {
      const listen = (outcome: Outcome) => {
        if (outcome.id !== order.id) return
        this.#child.off('message', listen)
        resolve(outcome)
      }
      this.#child.on('message', listen)
      this.#child.send(order)
    })
  }
}

async function startServer(script: string, args: string[], where: Where) {
  const child = startRole(script, ['server', ...args], where)
  const asked: Asked[] = []
  child.on('message', (message) => {
    if (message !== 'listening') asked.push(message as Asked)
  })
  await once(child, 'message')
  return { asked, stop: () => child.disconnect() }
}

export async function prove(script: string): Promise<void> {
  makeWorld()
  redirect()
  resolvConf(RESOLVER[4])
  const sockets = openDnsSockets(PORT)
  t.teardown(() => sockets.close())
  const servers = await startServer(script, [...Object.values(RESOLVER), ...Object.values(FOREIGN)], {
    namespace: 'internet',
  })
  t.teardown(() => servers.stop())
  const agent = new Client(script, { uid: AGENT_UID })
  const root = new Client(script, {})
  const container = new Client(script, { namespace: 'container' })
  const outside = new Client(script, { namespace: 'internet' })

  const learned: [string, readonly LearnedAddress[]][] = []
  const refusals: DnsRefusal[] = []
  let learning = Promise.resolve()
  let guard: Child
  const start = async (policy: string, upstreams: string[] = []) => {
    guard = startDnsGuard({
      account: { name: 'proxy', uid: PROXY_UID, gid: PROXY_UID },
      log: winston.createLogger({ silent: true }),
      sockets,
      rules: () => ({ ...loadPolicy({ dir: shippedDirectory, name: policy }), ownHosts: [] }),
      upstreams,
      bridges: ['docker0', BRIDGE],
      learn: (name, entries) => {
        learned.push([name, entries])
        return learning
      },
      refusal: (refusal) => refusals.push(refusal),
      changed: () => {},
      died: () => {},
    })
    await guard.ready
  }
  const stop = () => guard.stop((child) => child.send({ type: 'stop' }, () => {}), 3000)
  await start('strict')
  t.teardown(stop)
  const ok = { rcode: 'NOERROR', answers: [{ data: '203.0.113.10' }] }

  await t.test('whatever server an agent asks, the machine’s own answers in its name', async (t) => {
    for (const [who, client] of [
      ['an agent', agent],
      ['root', root],
    ] as const) {
      for (const server of [...Object.values(RESOLVER), ...Object.values(FOREIGN)]) {
        for (const protocol of ['udp', 'tcp'] as const) {
          const { answers } = await client.ask(server, 'www.example.org', { protocol })
          t.match(answers, [{ id: 100, ...ok }], `${who}, ${protocol}, ${server}`)
        }
      }
    }
    t.same(
      [...new Set(servers.asked.map(({ server }) => server))],
      [RESOLVER[4]],
      'no other server heard of it',
    )
    t.same([...new Set(servers.asked.map(({ from }) => from))], [HOST[4]])
  })

  await t.test(
    'a container’s questions come back to it from where it sent them, from each of its networks',
    async (t) => {
      for (const server of [...Object.values(RESOLVER), ...Object.values(FOREIGN)]) {
        for (const protocol of ['udp', 'tcp'] as const) {
          const { answers } = await container.ask(server, 'www.example.org', { protocol })
          t.match(answers, [{ id: 100, ...ok }], `${protocol}, ${server}`)
        }
      }
      t.notOk(servers.asked.some(({ server }) => Object.values(FOREIGN).includes(server as never)))
    },
  )

  await t.test('many questions at once are all answered, over one TCP connection too', async (t) => {
    for (const protocol of ['udp', 'tcp'] as const) {
      const { answers } = await agent.ask(FOREIGN[4], 'many.example.org', { protocol, times: 100 })
      t.equal(new Set(answers.map(({ id }) => id)).size, 100, protocol)
    }
  })

  await t.test('an answer that is too long for UDP is marked so, and comes whole over TCP', async (t) => {
    const { answers } = await agent.ask(FOREIGN[4], 'long.example.org', { type: 'TXT' })
    t.match(answers, [{ flag_tc: true, answers: [] }])
    const whole = await agent.ask(FOREIGN[4], 'long.example.org', { type: 'TXT', protocol: 'tcp' })
    t.equal(whole.answers[0]?.answers?.length, 20)
  })

  await t.test('HTTPS records come without ech', async (t) => {
    const { answers } = await agent.ask(FOREIGN[4], 'www.example.org', { type: 'HTTPS' })
    t.equal(answers.length, 1)
    t.notOk(answers[0]?.bytes.includes('ECHConfigList'))
    t.equal(answers[0]?.flag_ad, false)
  })

  await t.test('the answer for a provider waits until its addresses are in force', async (t) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    learning = promise
    setTimeout(resolve, 200)
    const { answers, took } = await agent.ask(FOREIGN[4], GOVERNED)
    t.match(answers, [ok])
    t.ok(took >= 195, `took ${took} ms`)
    t.same(learned, [[GOVERNED, [{ address: '203.0.113.10', ttlSeconds: 60 }]]])
    learning = new Promise(() => {})
    t.match(
      (await agent.ask(FOREIGN[4], GOVERNED)).answers,
      [{ rcode: 'SERVFAIL' }],
      'and is withheld if they never are',
    )
    learning = Promise.resolve()
    const quick = await agent.ask(FOREIGN[4], GOVERNED, { type: 'AAAA' })
    t.comment(`learned and answered in ${quick.took.toFixed(1)} ms`)
    t.match(learned.at(-1), [GOVERNED, [{ address: '2001:db8:113::10' }]])
  })

  await t.test(
    'others than this machine and its containers get no answer from the guard’s port',
    async (t) => {
      for (const protocol of ['udp', 'tcp'] as const) {
        const { answers } = await outside.ask(HOST[4], 'www.example.org', { protocol, port: PORT })
        t.same(answers, [], protocol)
      }
    },
  )

  await t.test('the guard runs under the proxy’s account without any capability', async (t) => {
    const status = readFileSync(`/proc/${guard.state().pid}/status`, 'utf8')
    t.match(status, new RegExp(`^Uid:(\\t${PROXY_UID}){4}$`, 'm'))
    for (const set of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb'])
      t.match(status, new RegExp(`^Cap${set}:\\t0+$`, 'm'))
    t.match(status, /^NoNewPrivs:\t1$/m)
  })

  await t.test('a question that is asked while the guard is dead is answered by its successor', async (t) => {
    const { pid } = guard.state()
    if (pid) process.kill(pid, 'SIGKILL')
    const { answers, took } = await agent.ask(FOREIGN[4], 'www.example.org')
    t.match(answers, [ok])
    t.not(guard.state().pid, pid)
    t.comment(`answered ${took.toFixed(0)} ms after its death`)
  })

  await t.test('a frozen guard stops names, not the machine, and is replaced', async (t) => {
    await guard.ready
    const { pid } = guard.state()
    if (pid) process.kill(pid, 'SIGSTOP')
    const before = Date.now()
    while (guard.state().pid === pid && Date.now() - before < 20_000)
      await new Promise((r) => setTimeout(r, 100))
    t.not(guard.state().pid, pid)
    t.match((await agent.ask(FOREIGN[4], 'www.example.org')).answers, [ok])
  })

  await t.test(
    'behind the machine’s own stub the guard asks what the stub asks: nothing goes round',
    async (t) => {
      const stub = await startServer(script, [STUB, 'to', RESOLVER[4]], { uid: STUB_UID })
      t.teardown(() => stub.stop())
      resolvConf(STUB, RESOLVER[4])
      await stop()
      await start('strict')
      t.match((await agent.ask(STUB, 'stub.example.org')).answers, [ok], 'by the stub')
      t.match((await agent.ask(FOREIGN[4], 'past.example.org')).answers, [ok], 'past the stub')
      t.same(
        stub.asked.map(({ name }) => name),
        ['stub.example.org'],
      )
    },
  )

  await t.test(
    'where only a stub is known that asks the guard again, the circle ends after one round',
    async (t) => {
      const stub = await startServer(script, [STUB, 'to', RESOLVER[4]], { uid: STUB_UID })
      t.teardown(() => stub.stop())
      resolvConf(STUB)
      await stop()
      await start('strict')
      const before = servers.asked.length
      const { answers, took } = await agent.ask(STUB, 'round.example.org')
      t.match(answers, [{ rcode: 'SERVFAIL' }])
      t.ok(stub.asked.length <= 6, `the stub was asked ${stub.asked.length} times in ${took.toFixed(0)} ms`)
      t.equal(servers.asked.length, before)
    },
  )

  await t.test('under lockdown only reachable names are asked for, and each refusal is told', async (t) => {
    resolvConf(RESOLVER[4])
    await stop()
    await start('lockdown')
    servers.asked.length = 0
    t.match((await agent.ask(FOREIGN[4], GOVERNED)).answers, [ok])
    for (let i = 0; i < 3; i += 1) {
      t.match((await agent.ask(FOREIGN[4], 'secret.exfil.example', { edns: true })).answers, [
        { rcode: 'NXDOMAIN' },
      ])
    }
    t.match((await container.ask(FOREIGN[6], 'secret.exfil.example', { protocol: 'tcp' })).answers, [
      { rcode: 'NXDOMAIN' },
    ])
    t.same(
      servers.asked.map(({ name }) => name),
      [GOVERNED],
    )
    await stop()
    t.match(
      refusals,
      [
        {
          rule: 'lockdown/dns-traffic',
          name: 'secret.exfil.example',
          protocol: 'udp',
          client: { address: HOST[4] },
          count: 1,
        },
        { protocol: 'tcp', client: { address: 'fd00:9::2' }, count: 1 },
        { protocol: 'udp', count: 2 },
      ],
      'counts that were left are told at the end',
    )
    t.equal(refusals.length, 3)
  })
}
