/** What the installer puts on a machine and what it takes away: numbers 74 and 75 of docs/bypass.md. */
import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { OPENAI } from '../lab/addresses.ts'
import { clientEnvironment } from '../lab/client-environment.ts'
import { enterLab } from '../lab/enter.ts'
import type { Outcome } from '../lab/process.ts'
import { userNamed } from '../lab/users.ts'
import { get } from './bypass/attempts.ts'
import type { BypassCase } from './bypass/case.ts'
import {
  FAULTS,
  install,
  installedGateway,
  installWithoutPackages,
  KEPT as KEPT_TREE,
  prepareMachine,
  takeTreeAway,
  uninstall,
  withoutAccounts,
} from './bypass/installed.ts'
import { asRoot, audit, gap, nft } from './bypass/lifecycle.ts'
import { exchange } from './bypass/records.ts'
import { runSuites } from './bypass/suite.ts'
import { openWorld } from './bypass/world.ts'
import { snapshot } from './snapshot.ts'

t.setTimeout(300_000)
await enterLab(import.meta.url)
const world = await openWorld(installedGateway, await withoutAccounts())
const { lab } = world
t.teardown(() => world.stop())
await prepareMachine()

const AGENT = 4001
/** Somebody else's rules, of this machine. */
await nft(`add table inet theirs
add chain inet theirs out { type filter hook output priority 5; policy accept; }
add rule inet theirs out tcp dport 25 counter reject`)

/** Evidence, and what a later purge needs to find it. */
const KEPT = /^\/etc\/agent-anchor(\/(host\.key|install-manifest\.json))?$/
/** What useradd and userdel keep for themselves: yesterday's files, and who may have which subordinate ids. */
const BOOKKEEPING = /^\/etc\/(passwd|group|shadow|gshadow|subuid|subgid)-$|^\/etc\/\.pwd\.lock$/

interface Machine {
  readonly files: ReadonlyMap<string, string>
  /** Names of the tables, and all of those that aren't the laboratory's witness. */
  readonly rules: string
  readonly environment: Record<string, string>
}

async function machine(): Promise<Machine> {
  const tables = (await asRoot(['nft', 'list', 'tables'])).stdout
  const theirs = (await asRoot(['nft', 'list', 'table', 'inet', 'theirs'])).stdout
  return {
    files: snapshot(KEPT_TREE),
    rules: tables + theirs,
    environment: clientEnvironment(userNamed('agent1')),
  }
}

/** Paths that differ. */
function changes({ files: before }: Machine, { files: after }: Machine): string[] {
  const paths = new Set([...before.keys(), ...after.keys()])
  return [...paths].filter((path) => !BOOKKEEPING.test(path) && before.get(path) !== after.get(path))
}

const call = (target: string): Promise<Outcome> =>
  lab.run('agent1', get(`https://${OPENAI.name}/v1/models?${target}`))
/** Many: the kernel's counters begin anew with the tables, and must get further than before. */
async function calls(target: string): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  for (let turn = 0; turn < 15; turn++) outcomes.push(await call(target))
  return outcomes
}
const pid = async () => (await world.gateway.state())?.pid

const clean = await machine()
/** What is left of an install that failed at this step. */
let left: { step: string; outcome: Outcome; changed: string[]; rules: boolean }[] = []
let again: { changed: string[]; rules: string[]; pids: unknown[] }
let afterwards: Machine
let daemonLeft: boolean

async function installTwiceAndFail(): Promise<Outcome[]> {
  const [installed, rules, first] = [await machine(), await ruleNames(), await pid()]
  const outcomes = [await install()]
  again = {
    changed: changes(installed, await machine()),
    rules: [rules, await ruleNames()],
    pids: [first, await pid()],
  }
  await uninstall()
  const empty = await machine()
  left = []
  for (const { step, inject } of FAULTS) {
    const mend = await inject()
    const outcome = await install()
    await mend()
    await takeTreeAway()
    const now = await machine()
    left.push({ step, outcome, changed: changes(empty, now), rules: now.rules === empty.rules })
  }
  const outcome = await installWithoutPackages()
  left.push({ step: 'program', outcome, changed: changes(empty, await machine()), rules: true })
  return [...outcomes, await install(), ...(await calls('after-failures'))]
}

/** Every rule of ours, its counts aside; handles and elements come and go. */
async function ruleNames(): Promise<string> {
  return (await asRoot(['nft', '--stateless', '--terse', 'list', 'table', 'inet', 'aa_fence'])).stdout
}

async function uninstallAndBack(): Promise<Outcome[]> {
  const outcomes = [await call('before-uninstall'), await uninstall()]
  afterwards = await machine()
  daemonLeft = existsSync(world.gateway.paths.supervisorState) && (await world.gateway.state()) !== undefined
  return [...outcomes, await install(), ...(await calls('after-install'))]
}

const captured = { result: 'captured', saw: 'proxy', counter: 'redirected', open: false } as const

const cases: readonly BypassCase[] = [
  {
    ...captured,
    number: 75,
    name: 'an install over an install, and one that fails at each of its steps: nothing is left of it, and the next one works',
    attempt: installTwiceAndFail,
    client: (t, [second, last, after]) => {
      t.equal(second?.code, 0, `${second?.stdout}${second?.stderr}`)
      t.same(again.changed, [], 'the second install changed no file')
      t.equal(again.rules[1], again.rules[0], 'and no rule')
      t.equal(again.pids[1], again.pids[0], 'and the daemon ran on')
      for (const { step, outcome, changed, rules } of left) {
        t.not(outcome.code, 0, `${step} fails`)
        t.same(changed, [], `${step}: nothing is left`, { said: outcome.stdout + outcome.stderr })
        t.ok(rules, `${step}: no rule is left`)
      }
      t.equal(left.length, FAULTS.length + 1)
      t.equal(last?.code, 0, `${last?.stdout}${last?.stderr}`)
      t.match(after?.stdout, /^HTTP\/1\.1 200 /)
    },
    records: [audit('stop'), audit('start'), exchange({ uid: AGENT, provider: 'openai', status: 200 })],
  },
  {
    ...captured,
    number: 74,
    countsAnew: true,
    name: 'an uninstall: no rule, no file, no CA, no variable, no account and no process is left; the next install goes on with the log',
    attempt: uninstallAndBack,
    client: (t, [before, removal, back, after]) => {
      t.match(before?.stdout, /^HTTP\/1\.1 200 /)
      t.equal(removal?.code, 0, `${removal?.stdout}${removal?.stderr}`)
      t.same(
        changes(clean, afterwards).filter((path) => !KEPT.test(path)),
        [],
        'every file is as before the first install, the accounts and the trust store among them',
      )
      t.equal(afterwards.rules, clean.rules, 'the rules are those of others, byte for byte')
      t.same(afterwards.environment, clean.environment, 'no variable is set')
      t.notOk(daemonLeft, 'no daemon runs')
      t.equal(back?.code, 0, `${back?.stdout}${back?.stderr}`)
      t.match(after?.stdout, /^HTTP\/1\.1 200 /)
    },
    records: [
      audit('stop'),
      audit('start'),
      gap('not-running'),
      exchange({ uid: AGENT, provider: 'openai', status: 200 }),
    ],
  },
]

runSuites(world, [{ policy: 'standard', cases }])

void t.test('a purge leaves nothing, and neither does an install that fails after it', async (t) => {
  const removal = await uninstall('--purge', '--yes')
  t.equal(removal.code, 0, removal.stdout + removal.stderr)
  const purged = await machine()
  t.same(changes(clean, purged), [])
  t.equal(purged.rules, clean.rules)
  const { config } = world.gateway
  const places = [config.stateDir, config.runtimeDir, config.logDir]
  t.same(places.filter(existsSync), [])
  const mend = await FAULTS.at(-1)!.inject()
  const outcome = await install()
  await mend()
  await takeTreeAway()
  t.not(outcome.code, 0)
  t.same(changes(clean, await machine()), [], outcome.stdout + outcome.stderr)
  t.same(places.filter(existsSync), [])
  t.notMatch(readFileSync('/etc/passwd', 'utf8'), /agent-anchor/)
})
