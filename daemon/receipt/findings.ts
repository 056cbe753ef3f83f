/** What a verification found, as data: text, JSON, exit code and page are made from the same list. */
export interface Finding {
  /** What was looked at: record, key, signature, witnesses, inclusion, body NAME, anchor NAME, store. */
  readonly check: string
  readonly result: 'proved' | 'failed' | 'not-checked'
  readonly detail: string
}

/** True where nothing failed and something was proved. */
export const holds = (findings: readonly Finding[]): boolean =>
  findings.some((f) => f.result === 'proved') && findings.every((f) => f.result !== 'failed')

/**
 * unconfirmed: all fits together, but nobody said which key is the log's, so whoever made the receipt may have made
 * the key, the log and the record too.
 */
export type Verdict = 'verified' | 'unconfirmed' | 'failed'

export function verdictOn(findings: readonly Finding[]): Verdict {
  if (!holds(findings)) return 'failed'
  return findings.some(({ check, result }) => check === 'key' && result !== 'proved')
    ? 'unconfirmed'
    : 'verified'
}
