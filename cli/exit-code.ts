/** Exit codes of every command; documented in docs/operating.md. */
export const ExitCode = { healthy: 0, error: 1, usage: 2, notRunning: 3, degraded: 4 } as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]
