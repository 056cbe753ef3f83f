/** One run of tap over test files, read as it comes. */
import { existsSync } from 'node:fs'
import { type BypassEntry, readBypassComment } from './bypass-report.ts'
import { runNode } from './command.ts'
import { readHealthComment } from './health-report.ts'
import { type FileResult, TapReport } from './tap-report.ts'
import { readTrustComment, type TrustEntry } from './trust-report.ts'

const tap = 'node_modules/tap/dist/esm/run.mjs'

export interface SuiteRun {
  readonly results: readonly FileResult[]
  /** What the tests of the ways round said of themselves, by test file. */
  readonly bypasses: readonly BypassEntry[]
  /** States of health that the tests caused and remedied. */
  readonly healthCodes: readonly string[]
  /** Which runtimes worked from which entries. */
  readonly trust: readonly TrustEntry[]
  /** What is wrong with the run itself: a file that gave no result, a runner that broke. */
  readonly problems: readonly string[]
  readonly stderr: string
}

/**
 * @param jobs files at once
 * @param timeout seconds that a file may take
 * @param tell hears each file's result as soon as it is whole
 */
export async function runFiles(
  files: readonly string[],
  { jobs, timeout }: { readonly jobs: number; readonly timeout: number },
  tell: (result: FileResult) => void,
): Promise<SuiteRun> {
  // The runner builds itself for the plugins of .taprc and would still run without them that first time.
  if (!existsSync('.tap/plugins/package.json')) {
    const built = await runNode([tap, 'build'])
    if (built.code !== 0) {
      const problems = [`tap could not build its plugins\n${built.output}`]
      return { results: [], bypasses: [], healthCodes: [], trust: [], problems, stderr: '' }
    }
  }
  const results: FileResult[] = []
  const bypasses: BypassEntry[] = []
  const healthCodes: string[] = []
  const trust: TrustEntry[] = []
  const report = new TapReport()
  const take = (result: FileResult | undefined) => {
    if (result === undefined) return
    results.push(result)
    tell(result)
  }
  const options = ['--disable-coverage', '--allow-incomplete-coverage', '--reporter=tap']
  const ended = await runNode(
    [tap, 'run', ...options, `--jobs=${jobs}`, `--timeout=${timeout}`, ...files],
    (line) => {
      const bypass = readBypassComment(line)
      if (bypass !== undefined) bypasses.push(bypass)
      const code = readHealthComment(line)
      if (code !== undefined) healthCodes.push(code)
      const trusted = readTrustComment(line)
      if (trusted !== undefined) trust.push(trusted)
      take(report.push(line))
    },
  )
  take(report.end())
  const problems = files
    .filter((file) => !results.some(({ name }) => name === file))
    .map((file) => `${file} gave no result`)
  const failed = problems.length > 0 || results.some(({ failures }) => failures.length > 0)
  if (ended.code !== 0 && !failed) problems.push(`tap itself ended with ${ended.code}`)
  return { results, bypasses, healthCodes, trust, problems, stderr: ended.output }
}

/** Several runs over different files as one. */
export function joined(runs: readonly SuiteRun[]): SuiteRun {
  return {
    results: runs.flatMap(({ results }) => results),
    bypasses: runs.flatMap(({ bypasses }) => bypasses),
    healthCodes: runs.flatMap(({ healthCodes }) => healthCodes),
    trust: runs.flatMap(({ trust }) => trust),
    problems: runs.flatMap(({ problems }) => problems),
    stderr: runs.map(({ stderr }) => stderr).join(''),
  }
}
