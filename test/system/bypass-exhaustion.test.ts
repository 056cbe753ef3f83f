/** No descriptors and no disk left: numbers 67 and 68 of docs/bypass.md under `standard`. */
import { once } from 'node:events'
import { mkdirSync, rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import t from 'tap'
import { EXAMPLE, OPENAI } from '../lab/addresses.ts'
import { enterLab } from '../lab/enter.ts'
import { REPOSITORY } from '../lab/places.ts'
import { tool } from '../lab/process.ts'
import { inTurn, quic } from './bypass/attempts.ts'
import type { BypassCase } from './bypass/case.ts'
import { asRoot, call, stands, until, visit } from './bypass/lifecycle.ts'
import { heldConnections } from './bypass/packets.ts'
import { exchange } from './bypass/records.ts'
import { runSuites } from './bypass/suite.ts'
import { openWorld } from './bypass/world.ts'

t.setTimeout(300_000)
await enterLab(import.meta.url)
const world = await openWorld()
t.teardown(() => world.stop())
const { lab } = world

const RECORDER = '/var/lib/agent-anchor/recorder'
// A file system of its own for the recorder, small enough to be filled.
mkdirSync(RECORDER, { recursive: true })
await tool(['mount', '-t', 'tmpfs', '-o', 'size=96m', 'small', RECORDER])

const AGENT = 4001
const { name, address4 } = OPENAI
const all = inTurn(world)
const captured = { result: 'captured', saw: 'proxy', counter: 'redirected' } as const
/** What the fence counts, whose counts outlive the tables of the daemon. */
const datagram = quic(name, [{ address: address4, port: 443, version: 1 }])
/** Descriptors that a process of the gateway may have. */
const TIGHT = 128
const COMMAND = `${REPOSITORY}/cli/agent-anchor`
const cases: readonly BypassCase[] = [
  {
    ...captured,
    number: 67,
    name: 'every descriptor of the workers used up by an agent, and given back',
    open: false,
    attempt: async () => {
      // Too little for many, but enough to start: what the supervisor has, its children have.
      await world.gateway.stop()
      const tight = lab.spawnAs(
        'root',
        ['/usr/bin/prlimit', `--nofile=${TIGHT}:${TIGHT}`, COMMAND, 'daemon'],
        {
          cwd: '/',
          stdio: 'ignore',
        },
      )
      await until(() => stands(world), 20_000)
      const holders = [address4, EXAMPLE.address4].map((address) =>
        lab.spawnAs('agent2', heldConnections({ address, port: 443, count: 150 })),
      )
      for (const holder of holders) await once(createInterface({ input: holder.stdout! }), 'line')
      const outcomes = await all('agent1', datagram)
      for (const option of ['-4', '-6', '-4', '-6'])
        outcomes.push(await call(world, option, '--max-time', '3'))
      for (const holder of holders) {
        holder.stdin!.end()
        await once(holder, 'exit')
      }
      await until(async () => (await call(world, '--max-time', '2')).code === 0, 20_000)
      outcomes.push(await call(world))
      tight.kill('SIGTERM')
      await once(tight, 'exit')
      await world.gateway.start()
      return outcomes
    },
    client: (t, outcomes) => {
      t.comment(`meanwhile calls ended with ${outcomes.slice(1, -1).map(({ code }) => code)} (curl)`)
      t.equal(outcomes.at(-1)?.code, 0, 'captured again')
    },
    counter: 'refused_quic',
    records: [exchange({ uid: AGENT, provider: 'openai', status: 200 })],
    recordWithinMs: 20_000,
  },
  {
    ...captured,
    number: 68,
    name: 'a full disk: calls are refused and say why, and captured once there is room',
    open: false,
    attempt: async () => {
      const filler = `${RECORDER}/filler`
      // Large pieces first, then what is left.
      await asRoot(['dd', 'if=/dev/zero', `of=${filler}`, 'bs=64k'])
      await asRoot(['dd', 'if=/dev/zero', `of=${filler}`, 'bs=512', 'oflag=append', 'conv=notrunc'])
      // Pages that the recorder has already may take some more.
      let full = await call(world)
      await until(async () => {
        full = await call(world)
        return /^HTTP\/1\.1 503/.test(full.stdout)
      }, 20_000)
      const outcomes = [full, await visit(world)]
      rmSync(filler)
      await until(async () => /^HTTP\/1\.1 200/.test((await call(world)).stdout), 20_000)
      outcomes.push(await call(world))
      return outcomes
    },
    client: (t, [full, foreign, after]) => {
      t.match(full?.stdout, /HTTP\/1\.1 503 [\s\S]*recorder_unavailable/)
      t.equal(foreign?.code, 0, 'other sites are reached')
      t.match(after?.stdout, /^HTTP\/1\.1 200/)
    },
    records: [
      (record) => record.kind === 'gap' && /could not be recorded/.test(record.cause),
      exchange({ uid: AGENT, provider: 'openai', status: 200 }),
    ],
    recordWithinMs: 20_000,
  },
]

runSuites(world, [{ policy: 'standard', cases }])
