import type { Health } from '../../daemon/base/health.ts'

const GRAVITY: Record<Health['severity'], number> = { error: 0, warning: 1, info: 2 }

/** The gravest first, each severity in the order that it came in. */
export const bySeverity = (health: readonly Health[]): Health[] =>
  health.toSorted((a, b) => GRAVITY[a.severity] - GRAVITY[b.severity])
