/** Findings in words: the same on a terminal and in the verification page. */
import { table } from '../base/printable.ts'
import { type Finding, verdictOn } from './findings.ts'

export const WORD: Record<Finding['result'], string> = {
  proved: 'proved',
  failed: 'FAILED',
  'not-checked': 'not checked',
}

/** One line that says what the findings come to. */
export function verdictText(findings: readonly Finding[]): string {
  const count = (result: Finding['result']) => findings.filter((f) => f.result === result).length
  const open = count('not-checked')
  const rest = open > 0 ? `, ${open} claim(s) not checked` : ''
  switch (verdictOn(findings)) {
    case 'verified':
      return `verified${rest}`
    case 'unconfirmed':
      return `NOT CONFIRMED: it fits together, but only under its own key${rest}`
    case 'failed':
      return `NOT VERIFIED: ${count('failed')} claim(s) failed${rest}`
  }
}

/** The findings a line each, and the verdict. */
export function findingsText(findings: readonly Finding[]): string {
  const rows = findings.map(({ check, result, detail }) => [WORD[result], check, detail])
  return `${table(rows)}\n\n${verdictText(findings)}`
}
