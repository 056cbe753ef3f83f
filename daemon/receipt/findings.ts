/** What a verification found, as data: text, JSON and exit code are made from the same list. */
export interface Finding {
  /** What was looked at: record, inclusion, signature, anchor NAME, bodies, store. */
  readonly check: string
  readonly result: 'proved' | 'failed' | 'not-checked'
  readonly detail: string
}

/** True where nothing failed and something was proved. */
export const holds = (findings: readonly Finding[]): boolean =>
  findings.some((f) => f.result === 'proved') && findings.every((f) => f.result !== 'failed')
