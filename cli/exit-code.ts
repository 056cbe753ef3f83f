/** Exit codes of every command; documented in docs/operating.md. 130 is what shells say of Ctrl-C. */
export const ExitCode = {
  healthy: 0,
  error: 1,
  usage: 2,
  notRunning: 3,
  degraded: 4,
  interrupted: 130,
} as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

export const EXIT_MEANINGS: readonly (readonly [code: ExitCode, meaning: string])[] = [
  [ExitCode.healthy, 'healthy, or done'],
  [ExitCode.error, 'an error, or a verification that failed'],
  [ExitCode.usage, 'a command line that makes no sense'],
  [ExitCode.notRunning, 'no gateway runs'],
  [ExitCode.degraded, 'something needs attention, or nobody vouched for what was verified'],
  [ExitCode.interrupted, 'ended by Ctrl-C'],
]
