/** `status` beside gateways that are gone, hang, are of another version, or may not be looked at: what it says, and that it ends. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { absenceHealth } from '../../cli/health/absent.ts'
import { processStart, type SupervisorState, writeState } from '../../daemon/supervisor/state-file.ts'
import { compiledCode } from '../lab/compiled.ts'
import { scratch } from './scratch.ts'
import { healthyRecorder, healthySupervisor } from './status-fixture.ts'
import { onTerminal } from './terminal-fixture.ts'

t.setTimeout(60_000)
const main = join(import.meta.dirname, '../../cli/main.ts')

interface Place {
  readonly state: string
  run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>
  /** Leaves a file as a supervisor in this process would. */
  supervisor(over?: Partial<SupervisorState>): Promise<void>
  /** Answers as a recorder would, or as `say` does. */
  recorder(say?: (text: string) => string | undefined): Promise<void>
  command(...args: string[]): readonly [string, readonly string[]]
}

function place(t: Test): Place {
  // A socket's path is short.
  const dir = scratch()
  const runtimeDir = join(dir, 'run')
  mkdirSync(join(runtimeDir, 'status'), { recursive: true })
  const config = join(dir, 'gateway.yaml')
  writeFileSync(config, `stateDir: ${join(dir, 'state')}\nruntimeDir: ${runtimeDir}\n`)
  const state = join(runtimeDir, 'supervisor.json')
  const command = (...args: string[]) =>
    [process.execPath, ['--disable-warning=ExperimentalWarning', main, '--config', config, ...args]] as const
  return {
    state,
    command,
    run: (...args) =>
      new Promise((resolve) => {
        const [program, argv] = command(...args)
        const child = execFile(
          program,
          argv,
          { env: { ...compiledCode, LANG: 'C.UTF-8' } },
          (_, stdout, stderr) => resolve({ code: child.exitCode ?? -1, stdout, stderr }),
        )
      }),
    async supervisor(over = {}) {
      const pidStart = (await processStart(process.pid)) ?? ''
      await writeState(state, { ...healthySupervisor, pid: process.pid, pidStart, ...over })
    },
    async recorder(say = (text) => text) {
      const server = createServer((socket) => {
        socket.on('error', () => {})
        const text = say(JSON.stringify({ schemaVersion: 1, ...healthyRecorder }))
        if (text !== undefined) socket.end(text)
      })
      t.teardown(() => server.close())
      server.listen(join(runtimeDir, 'status', 'status.sock'))
      await once(server, 'listening')
      server.unref()
    },
  }
}

t.test('a gateway that is well: 0, and a document that is complete', async (t) => {
  const here = place(t)
  await here.supervisor()
  await here.recorder()
  t.match(await here.run('status'), { code: 0, stdout: /^OK: / })
  const { code, stdout } = await here.run('status', '--json')
  t.equal(code, 0)
  const { supervisor, recorder, ...rest } = JSON.parse(stdout)
  t.same(rest, { schemaVersion: 1, state: 'running', verdict: 'holds', complete: true, health: [] })
  t.match([supervisor.version, recorder.records], ['1.2.3', 1300])
})

t.test('none that runs is told from one that was stopped, and from one that died', async (t) => {
  const here = place(t)
  t.match(await here.run('status'), {
    code: 3,
    stdout: /^NOT RUNNING: (.|\n)*does not run: .*\n.*systemctl start/,
  })
  await here.supervisor({ pid: 2 ** 22 + 1, phase: 'stopping' })
  t.match(await here.run('status'), { code: 3, stdout: /The gateway was stopped: / })
  await here.supervisor({ pid: 2 ** 22 + 1 })
  const died = await here.run('status')
  t.match(died, { code: 3, stdout: /ended without a word \(pid 4194305, while running\)/ })
  t.match(died.stdout, /agent-anchor\.log and `journalctl -u agent-anchor`/)
  t.match(JSON.parse((await here.run('--json', 'status')).stdout), { state: 'not-running', complete: false })
})

t.test('a recorder that hangs, is gone, or speaks otherwise is named, with what to do', async (t) => {
  const children: SupervisorState['children'] = [
    { name: 'recorder', pid: 4711, state: 'running', restarts: 0 },
  ]
  const said = async (say?: (text: string) => string | undefined) => {
    const here = place(t)
    await here.supervisor({ children })
    if (say) await here.recorder(say)
    const { code, stdout } = await here.run('--json', 'status')
    const { verdict, complete, health } = JSON.parse(stdout)
    t.match({ code, verdict, complete }, { code: 4, verdict: 'errors', complete: false })
    t.equal(health.length, 1)
    t.equal(health[0].code, 'recorder.silent')
    return health[0]
  }
  t.match(await said(), { title: /recorder does not run/ })
  t.match(await said(() => undefined), { title: /does not answer/, remedy: /kill -9 4711/ })
  t.match(await said(() => 'no JSON'), { title: /does not understand/, remedy: /systemctl restart/ })
  t.match(await said(() => '{"records": "many"}'), { title: /does not understand/ })
})

t.test('a supervisor that says nothing any more hangs', async (t) => {
  const here = place(t)
  await here.supervisor()
  await here.recorder()
  const before = new Date(Date.now() - 60_000)
  utimesSync(here.state, before, before)
  const { code, stdout } = await here.run('status')
  t.equal(code, 4)
  t.match(stdout, /ERROR .*main process \(pid \d+\) has said nothing for \d+ s: it hangs/)
})

t.test('a file of another version is told from none, and 1 says that nothing can be told', async (t) => {
  const here = place(t)
  writeFileSync(here.state, '{"v": 2, "version": "9.0.0"}')
  const other = await here.run('status')
  t.match(other, {
    code: 1,
    stdout: /^UNKNOWN: (.|\n)*the gateway that wrote it is 9\.0\.0\n.*systemctl restart/,
  })
  writeFileSync(here.state, '{"v": 1, "vers')
  t.match(await here.run('status'), { code: 1, stdout: /is not what this version writes\n/ })
})

t.test('a file that may not be read is a matter of rights, not of a gateway that is down', async (t) => {
  const found = { kind: 'unreadable' as const, why: "EACCES: permission denied, open 'x'" }
  t.match(absenceHealth(found, '/run/x', '/var/log/x'), [
    { code: 'daemon.state-unreadable', title: /permission denied/, remedy: /sudo agent-anchor status/ },
  ])
  if (process.getuid?.() === 0) {
    // Root reads everything; a directory in the file's place it can't read either.
    const here = place(t)
    mkdirSync(here.state)
    t.match(await here.run('status'), { code: 1, stdout: /can't be read: EISDIR/ })
    return
  }
  const here = place(t)
  await here.supervisor()
  chmodSync(here.state, 0)
  t.match(await here.run('status'), { code: 1, stdout: /can't be read: EACCES/ })
})

t.test(
  '--watch draws on the second screen, follows what changes, and leaves the first as it was',
  async (t) => {
    const here = place(t)
    await here.supervisor()
    await here.recorder()
    const [program, argv] = here.command('status', '--watch', '0.2')
    const { shown, type, code } = onTerminal([program, ...argv])
    const until = async (what: RegExp) => {
      while (!what.test(shown())) await new Promise((resolve) => setTimeout(resolve, 20))
    }
    await until(/OK: /)
    await here.supervisor({ ca: { ...healthySupervisor.ca, tooWide: true } })
    await until(/WARNING: /)
    type('\u0003')
    t.equal(await code, 4, 'the code of the last status')
    t.ok(shown().startsWith('\u001b[?1049h\u001b[?25l\u001b[H'), 'the second screen, without a cursor')
    t.ok(shown().endsWith('\u001b[?25h\u001b[?1049l'), 'the first screen, with its cursor')
    t.match(shown(), '\u001b[32mOK', 'in colour')
  },
)

t.test('--watch elsewhere prints a line, or a document, for each look', async (t) => {
  const here = place(t)
  await here.supervisor()
  await here.recorder()
  const watched = async (...args: string[]) => {
    const [program, argv] = here.command(...args)
    const child = spawn(program, argv, { env: { LANG: 'C.UTF-8' }, stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    for await (const piece of child.stdout) {
      text += piece
      if (text.split('\n').length > 2) child.kill('SIGINT')
    }
    return { lines: text.trim().split('\n'), code: child.exitCode ?? (await once(child, 'close'))[0] }
  }
  const plain = await watched('status', '--watch', '0.2')
  t.equal(plain.code, 0)
  for (const line of plain.lines) t.match(line, /^20\d\d-.*Z OK: calls to LLM/)
  const json = await watched('--json', 'status', '--watch', '0.2')
  for (const line of json.lines) t.equal(JSON.parse(line).verdict, 'holds')
  for (const wrong of ['0', '-1', 'often', '0.01'])
    t.equal((await here.run('status', '--watch', wrong)).code, 2)
})
