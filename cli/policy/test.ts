/** `agent-anchor policy test [FILE…]`: the cases beside the policies, and how much of their rules these cover. */
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Config } from '../../daemon/config/config.ts'
import { CasesSchema } from '../../policies/cases-schema.ts'
import { loadPolicy } from '../../policies/policy.ts'
import { readText } from '../../policies/read-text.ts'
import { shippedDirectory } from '../../policies/shipped.ts'
import { parseYaml } from '../../policies/yaml-document.ts'
import { FileUnusable } from '../cli-error.ts'
import { table } from '../terminal.ts'
import { type CasesResult, runCases } from './cases.ts'

export interface FileResult extends CasesResult {
  readonly file: string
  readonly policy: string
}

const ENDING = '.cases.yaml'

/** Those that were shipped, and the administrator's own. */
export function casesFiles({ policiesDir }: Config): string[] {
  const directories = [...new Set([shippedDirectory, policiesDir])].filter((directory) =>
    existsSync(directory),
  )
  return directories.flatMap((directory) =>
    readdirSync(directory)
      .filter((name) => name.endsWith(ENDING))
      .sort()
      .map((name) => join(directory, name)),
  )
}

/** Of the policy beside it, or else the shipped one. @throws PolicyError */
export function testFile(word: string): FileResult {
  const file = resolve(word)
  const text = readText(file)
  if (text === undefined) throw new FileUnusable('read', file, new Error('there is no such file'))
  const cases = parseYaml(file, text, CasesSchema)
  const rules = loadPolicy({ dir: dirname(file), name: cases.policy })
  return { file, policy: cases.policy, ...runCases(rules, cases) }
}

export function testText(results: readonly FileResult[]): string {
  const failures = results.flatMap(({ file, results: cases }) =>
    cases
      .filter(({ passed }) => !passed)
      .map(({ name, wrong }) => `FAILED ${file}: ${name}\n       ${wrong.join('\n       ')}`),
  )
  const rows = results.map(({ policy, results: cases, covered, uncovered }) => [
    policy,
    `${cases.filter(({ passed }) => passed).length} of ${cases.length}`,
    `${covered.length} of ${covered.length + uncovered.length}`,
    uncovered.join(' ') || '-',
  ])
  return [...failures, table([['POLICY', 'PASSED', 'RULES COVERED', 'NOT COVERED'], ...rows])].join('\n')
}
