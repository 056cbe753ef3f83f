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
