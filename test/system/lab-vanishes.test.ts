/**
 * What the laboratory leaves on the machine: nothing. Runs outside of it, and starts itself again
 * (argument `inside`) as the laboratory whose end is watched.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { enterLab } from '../lab/enter.ts'
import { startLab } from '../lab/lab.ts'
import { PATH } from '../lab/places.ts'
import { tool } from '../lab/process.ts'

const trace = `laboratory-${process.pid}`

if (process.argv[2] === 'inside') await inside()
else outside()

/** Leaves traces of every kind in the laboratory, says so and waits, or ends with code 7. */
async function inside(): Promise<void> {
  await enterLab(import.meta.url, { pass: ['TRACE'], stateOnDisk: process.argv[3] === 'leave' })
  await startLab()
  await tool(['nsenter', '--net=/run/netns/host', 'nft', '-f', '-'], 'table inet laboratory_trace { }')
  await tool(['nft', '-f', '-'], 'table inet laboratory_trace { }')
  await tool(['ip', 'netns', 'add', 'laboratory-trace'])
  await tool([
    'touch',
    '/etc/laboratory-trace',
    '/usr/local/bin/laboratory-trace',
    '/var/lib/laboratory-trace',
  ])
  await tool(['mkdir', '-p', '/var/lib/agent-anchor/laboratory-trace'])
  console.log('ready')
  if (process.argv[3] !== 'stay') process.exit(7)
  spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' }).unref()
  setInterval(() => {}, 1000)
}

function outside(): void {
  const before = machine()

  t.test('the exit code of the inner script is the outer one’s', async (t) => {
    const child = start(['inside', 'leave'])
    const [code] = await once(child, 'exit')
    t.equal(code, 7)
    await assertNothingLeft(t)
  })

  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT'] as const) {
    t.test(`everything vanishes when the outer process gets ${signal}`, async (t) => {
      const child = start(['inside', 'stay'])
      for await (const line of createInterface({ input: child.stdout! })) if (line === 'ready') break
      t.ok(laboratoryProcesses().length >= 3, 'it runs')
      child.kill(signal)
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      await assertNothingLeft(t)
    })
  }

  t.test('without the right to make namespaces it says so and fails', async (t) => {
    const argv = ['--bounding-set=-sys_admin', process.execPath, fileURLToPath(import.meta.url), 'inside']
    const outcome = spawnSync('setpriv', argv, { env: { PATH }, encoding: 'utf8' })
    t.equal(outcome.status, 1)
    t.match(outcome.stderr, /no namespaces with nftables here[\s\S]*CAP_SYS_ADMIN/)
  })

  t.test('outside of the laboratory no network is built, whatever the variables say', async (t) => {
    process.env.LABORATORY = '1'
    t.teardown(() => delete process.env.LABORATORY)
    await t.rejects(startLab(), { code: 'outside' })
  })

  async function assertNothingLeft(t: { same(found: unknown, wanted: unknown, message: string): unknown }) {
    for (let wait = 0; wait < 40 && laboratoryProcesses().length > 0; wait++) await sleep(50)
    t.same(laboratoryProcesses(), [], 'no process')
    t.same(machine(), before, 'namespaces, rules, mounts and files as before')
  }
}

function start(argv: string[]): ChildProcess {
  const script = fileURLToPath(import.meta.url)
  return spawn(process.execPath, [script, ...argv], {
    env: { PATH, TRACE: trace },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

/** What of this machine a laboratory could have changed. */
function machine() {
  const list = (program: string, ...argv: string[]) =>
    spawnSync(program, argv, { env: { PATH }, encoding: 'utf8' }).stdout
  return {
    networkNamespaces: list('ip', 'netns', 'list'),
    rules: list('nft', 'list', 'ruleset'),
    links: list('ip', '-brief', 'link'),
    mounts: readFileSync('/proc/self/mounts', 'utf8'),
    files: [
      '/etc',
      '/run',
      '/usr/local/bin',
      '/usr/local/share',
      '/var/lib',
      '/var/tmp',
      '/home',
      '/opt',
    ].map((directory) => readdirSync(directory).sort()),
  }
}

/** Processes of any namespace that were started by this test's laboratories. */
function laboratoryProcesses(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`TRACE=${trace}`)
      } catch {
        return false
      }
    })
}
