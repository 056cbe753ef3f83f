import { fork } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import winston from 'winston'
import { backOff } from '../../daemon/supervisor/back-off.ts'
import { type ChildState, supervise } from '../../daemon/supervisor/child.ts'
import type { ChildName } from '../../daemon/supervisor/child-name.ts'
import { scratch } from './scratch.ts'

const log = winston.createLogger({ silent: true })

const script = (text: string) => {
  const file = join(scratch(), 'child.mjs')
  writeFileSync(file, text)
  return file
}

t.test(
  'the first restart is immediate, then delays double to 15 s, and a long life is forgiven',
  async (t) => {
    const delays = backOff()
    t.same(
      Array.from({ length: 9 }, () => delays.next(10)),
      [0, 250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000],
    )
    t.equal(delays.next(60_000), 0)
  },
)

const until = async (condition: () => boolean) => {
  const end = Date.now() + 5000
  while (!condition()) {
    if (Date.now() > end) throw new Error('condition not met within 5 s')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

t.test(
  'a child that dies is started again, gets its start message again, and stop ends it for good',
  async (t) => {
    const file = script(`process.on('message', (m) => {
    if (m.type === 'start') process.send({ type: 'ready' })
    if (m.type === 'stop') process.exit(0)
  })`)
    const states: ChildState['state'][] = []
    const deaths: string[] = []
    let starts = 0
    const child = supervise({
      name: 'recorder',
      log,
      spawn: () => fork(file),
      started: (c) => {
        starts += 1
        c.send({ type: 'start' })
      },
      message: (m) => (m as { type: string }).type === 'ready',
      changed: (s) => states.push(s.state),
      died: (how) => deaths.push(how),
    })
    await child.ready
    process.kill(child.state().pid as number, 'SIGKILL')
    await until(() => child.state().restarts === 1 && child.state().state === 'running')
    t.equal(starts, 2)
    t.same(deaths, ['SIGKILL'])
    await child.stop((c) => c.send({ type: 'stop' }), 3000)
    t.equal(child.state().state, 'stopped')
    t.equal(child.state().lastExit, 'exit 0')
    t.same(states, ['starting', 'running', 'waiting', 'starting', 'running', 'stopped'])
  },
)

t.test('a child that ignores the stop request is killed after its grace', async (t) => {
  const file = script(`process.on('message', () => process.send({ type: 'ready' }))`)
  const child = supervise({
    name: 'sensor',
    log,
    spawn: () => fork(file),
    started: (c) => c.send({ type: 'start' }),
    message: () => true,
    changed: () => {},
  })
  await child.ready
  await child.stop(() => {}, 50)
  t.equal(child.state().lastExit, 'SIGKILL')
})

t.test('ready rejects, naming the child, where it dies before it is ready', async (t) => {
  const child = supervise({
    name: 'dns-guard',
    log,
    spawn: () => fork(script('process.exit(3)')),
    message: () => false,
    changed: () => {},
  })
  await t.rejects(child.ready, { message: 'dns-guard ended (exit 3) before it was ready' })
  await child.stop(() => {}, 100)
})

t.test(
  'a child that falls silent is killed and started again, frozen or not; one that beats lives',
  async (t) => {
    const beating = script(
      `process.send({ type: 'ready' }); setInterval(() => process.send({ type: 'beat' }), 20)`,
    )
    const quiet = script(`process.send({ type: 'ready' }); setInterval(() => {}, 1000)`)
    const start = (name: ChildName, file: string) =>
      supervise({
        ...{ name, log, beatMs: 300, changed: () => {} },
        spawn: () => fork(file),
        message: (m) => (m as { type: string }).type === 'ready',
      })
    const alive = start('proxy-1', beating)
    const silent = start('proxy-2', quiet)
    await Promise.all([alive.ready, silent.ready])
    await until(() => silent.state().restarts > 0)
    t.equal(silent.state().lastExit, 'SIGKILL')
    t.equal(alive.state().restarts, 0)
    const frozen = alive.state().pid as number
    process.kill(frozen, 'SIGSTOP')
    await until(() => alive.state().restarts > 0)
    t.equal(alive.state().lastExit, 'SIGKILL')
    t.throws(() => process.kill(frozen, 0), 'the frozen one is gone')
    await Promise.all([alive.stop(() => {}, 0), silent.stop(() => {}, 0)])
  },
)

t.test('silence is not counted while this process itself stands still', async (t) => {
  const file = script(
    `process.send({ type: 'ready' }); setInterval(() => process.send({ type: 'beat' }), 20)`,
  )
  const child = supervise({
    ...{ name: 'proxy-1' as const, log, beatMs: 300, changed: () => {} },
    spawn: () => fork(file),
    message: (m) => (m as { type: string }).type === 'ready',
  })
  await child.ready
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000)
  await new Promise((resolve) => setTimeout(resolve, 200))
  t.equal(child.state().restarts, 0)
  await child.stop(() => {}, 0)
})
