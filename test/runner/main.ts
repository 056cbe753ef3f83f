/** Runs checks and tests and prints what they gave; `test/run` prepares the machine and starts this. */
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { type BypassEntry, bypassJson, bypassMarkdown, findProblems } from './bypass-report.ts'
import { runChecks } from './checks.ts'
import { runNode } from './command.ts'
import { findHealthProblems, healthText } from './health-report.ts'
import { turnsOf } from './schedule.ts'
import { type Settled, settle, worthASecondLook } from './second-look.ts'
import { seconds, slowestText, type Timed } from './slowest.ts'
import { joined, runFiles, type SuiteRun } from './suite.ts'
import type { FileResult } from './tap-report.ts'
import { type TrustEntry, trustJson, trustMarkdown } from './trust-report.ts'

type Suite = 'unit' | 'system' | 'fresh-machine'

/** Files at once, on the two processors that the machine has, and seconds a file may take. */
const limits = {
  unit: { jobs: 2, timeout: 180 },
  system: { jobs: 2, timeout: 300 },
  'fresh-machine': { jobs: 2, timeout: 900 },
} as const

const totals = { passed: 0, failed: 0 }
const timed: Timed[] = []
/** States of health that tests of any suite caused and remedied. */
const healthCodes = new Set<string>()

async function main(argv: readonly string[]): Promise<number> {
  const [what = 'all', pattern = '', ...rest] = argv
  if (!['all', 'checks', 'unit', 'system', 'fresh-machine'].includes(what) || rest.length > 0) {
    console.error('usage: test/run [checks | unit [PATTERN] | system [PATTERN] | fresh-machine [PATTERN]]')
    return 2
  }
  // The first time this takes minutes, most of them waiting for a Debian mirror.
  const machines = what === 'all' || what === 'fresh-machine' ? buildMachines() : undefined
  if (what === 'all' || what === 'checks') await check()
  if (what === 'all' || what === 'unit') await test('unit', pattern)
  const problem = await machines
  if (what === 'all' || what === 'system') await test('system', pattern)
  if (problem !== undefined) fail(problem)
  else if (machines !== undefined) await test('fresh-machine', pattern)
  // Only of a whole run: the tests of a code may be in any suite.
  if (what === 'all') judgeHealth()
  if (timed.length > 0) console.log(slowestText(timed))
  console.log('\nCounted are checks and named tests, not the assertions in them.')
  console.log(`${totals.passed} passed, ${totals.failed} failed`)
  return totals.failed === 0 ? 0 : 1
}

/** What fresh machines start from; resolves with what went wrong. */
async function buildMachines(): Promise<string | undefined> {
  const { code, output } = await runNode(['test/fresh-machine/build.ts'])
  return code === 0 ? undefined : `what fresh machines start from could not be built\n${indent(output)}`
}

async function check(): Promise<void> {
  console.log('checks')
  await runChecks(({ name, passed, output, milliseconds }) => {
    count(passed ? 1 : 0, passed ? 0 : 1)
    console.log(line(passed, name, milliseconds))
    if (!passed) console.log(indent(output))
  })
}

async function test(suite: Suite, pattern: string): Promise<void> {
  console.log(`${suite} tests`)
  const files = globSync(`test/${suite}/*.test.ts`)
    .filter((file) => file.includes(pattern))
    .sort()
  if (files.length === 0) return fail(`no ${suite} test is called anything like ${JSON.stringify(pattern)}`)
  const { jobs, timeout } = limits[suite]
  const began = performance.now()
  const runs: SuiteRun[] = []
  for (const turn of turnsOf(files, jobs))
    runs.push(await runFiles(turn.files, { jobs: turn.jobs, timeout }, tell))
  const first = joined(runs)
  const { results, bypasses, healthCodes: codes, trust, unstable } = await lookAgain(first, timeout)
  console.log(`  all ${suite} tests took ${seconds(performance.now() - began)}`)
  for (const { passed, failures } of results) count(passed, failures.length)
  for (const code of codes) healthCodes.add(code)
  for (const problem of first.problems) fail(problem)
  const failed = first.problems.length > 0 || results.some(({ failures }) => failures.length > 0)
  if (failed && first.stderr !== '') console.log(`  stderr\n${indent(first.stderr)}`)
  for (const file of unstable) console.log(`  UNSTABLE  ${file} failed above and passed alone: mend it`)
  // Only of a whole run: a document of a part would lose the rest.
  const whole = (pattern: string) => globSync(pattern).every((file) => files.includes(file))
  if (suite === 'system' && whole('test/system/bypass-*.test.ts')) documentBypasses(bypasses)
  if (suite === 'fresh-machine' && !failed && whole('test/fresh-machine/trust-*.test.ts'))
    documentTrust(trust)
}

const unchanged = ({ results, bypasses, healthCodes, trust }: SuiteRun): Settled => ({
  ...{ results, bypasses, healthCodes, trust },
  unstable: [],
})

async function lookAgain(first: SuiteRun, timeout: number): Promise<Settled> {
  const files = worthASecondLook(first)
  if (files.length === 0) return unchanged(first)
  console.log('once more, alone')
  return settle(first, await runFiles(files, { jobs: 1, timeout }, tell))
}

function documentBypasses(tried: readonly BypassEntry[]): void {
  const problems = findProblems(tried)
  for (const problem of problems) fail(`bypass ${problem}`)
  if (problems.length > 0) return
  write('docs/bypass.md', bypassMarkdown(tried))
  write('docs/bypass.json', bypassJson(tried))
  console.log(`  docs/bypass.md: ${tried.length} ways round`)
}

function documentTrust(tried: readonly TrustEntry[]): void {
  write('docs/trust.md', trustMarkdown(tried))
  write('docs/trust.json', trustJson(tried))
  console.log(`  docs/trust.md: ${tried.length} results`)
}

/** An unchanged file keeps its owner and its time. */
function write(file: string, text: string): void {
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text)
}

function judgeHealth(): void {
  console.log(healthText(healthCodes))
  for (const problem of findHealthProblems(healthCodes)) fail(`health ${problem}`)
}

function tell({ name, passed, failures, milliseconds }: FileResult): void {
  if (milliseconds !== undefined) timed.push({ name, milliseconds })
  console.log(line(failures.length === 0, name, milliseconds, passed + failures.length))
  for (const failure of failures) console.log(failure)
}

function count(passed: number, failed: number): void {
  totals.passed += passed
  totals.failed += failed
}

function fail(why: string): void {
  count(0, 1)
  console.log(`  failed  ${why}`)
}

function line(passed: boolean, name: string, milliseconds: number | undefined, tests?: number): string {
  const time = milliseconds === undefined ? '' : seconds(milliseconds)
  const amount = tests === undefined ? '' : `${tests} test${tests === 1 ? '' : 's'}`
  return `  ${passed ? 'passed' : 'FAILED'}  ${name.padEnd(52)} ${amount.padStart(9)} ${time.padStart(8)}`
}

function indent(text: string): string {
  return text.trimEnd().replace(/^/gm, '    ')
}

process.exitCode = await main(process.argv.slice(2))
