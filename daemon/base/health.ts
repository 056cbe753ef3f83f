/**
 * A health state is data: `status`, `doctor`, metrics and the dashboard render the same list.
 * `code` is stable and dotted by room ("chain.behind"), `remedy` says what the administrator can do.
 */
export interface Health {
  readonly code: string
  readonly severity: 'info' | 'warning' | 'error'
  readonly title: string
  readonly remedy: string
}
