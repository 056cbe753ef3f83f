import { type Finding, holds } from '../daemon/receipt/findings.ts'
import { table } from './terminal.ts'

const WORD: Record<Finding['result'], string> = {
  proved: 'proved',
  failed: 'FAILED',
  'not-checked': 'not checked',
}

/** The findings a line each, and the verdict. */
export function findingsText(findings: readonly Finding[]): string {
  const rows = findings.map(({ check, result, detail }) => [WORD[result], check, detail])
  const failed = findings.filter(({ result }) => result === 'failed').length
  const open = findings.filter(({ result }) => result === 'not-checked').length
  const verdict = holds(findings)
    ? `verified${open > 0 ? `, ${open} claim(s) not checked` : ''}`
    : `NOT VERIFIED: ${failed} claim(s) failed`
  return `${table(rows)}\n\n${verdict}`
}
