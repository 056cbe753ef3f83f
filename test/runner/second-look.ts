/**
 * Tests share two processors with a kernel, a browser and an EVM node, and a bound that holds a hundred times
 * may be missed once. So the few files that failed in a run are run once more, alone: what passes then is counted as
 * passed and named as unstable. Where more fail, it is no accident, and nothing is looked at again
 * (docs/decisions/015-second-look.md).
 */
import type { BypassEntry } from './bypass-report.ts'
import type { SuiteRun } from './suite.ts'
import type { FileResult } from './tap-report.ts'
import type { TrustEntry } from './trust-report.ts'

/** Failed files of one run that may be accidents. */
const MOST_FILES = 2

/** The files to be run again; none where all passed, where too much failed, or where the run itself broke. */
export function worthASecondLook({ results, problems }: SuiteRun): string[] {
  const failed = results.filter(({ failures }) => failures.length > 0).map(({ name }) => name)
  return problems.length === 0 && failed.length <= MOST_FILES ? failed : []
}

export interface Settled {
  readonly results: readonly FileResult[]
  readonly bypasses: readonly BypassEntry[]
  readonly healthCodes: readonly string[]
  readonly trust: readonly TrustEntry[]
  /** Passed only when they were run again. */
  readonly unstable: readonly string[]
}

/** The first run with what the second one makes better of it; a file that failed twice keeps its first result. */
export function settle(first: SuiteRun, second: SuiteRun): Settled {
  const passed = second.results.filter(({ failures }) => failures.length === 0)
  const unstable = passed.map(({ name }) => name)
  const again = ({ test }: BypassEntry) => unstable.includes(test)
  return {
    results: first.results.map((result) => passed.find(({ name }) => name === result.name) ?? result),
    healthCodes: [...first.healthCodes, ...second.healthCodes],
    trust: [...first.trust, ...second.trust],
    bypasses: [...first.bypasses.filter((entry) => !again(entry)), ...second.bypasses.filter(again)],
    unstable,
  }
}
