import { z } from 'zod'
import type { HealthCode } from './health-codes.ts'

/**
 * A health state is data: `status`, `doctor`, metrics and the dashboard render the same list.
 * `remedy` says what the administrator can do.
 */
export const Health = z.object({
  /** Not compared with the list: a process that an upgrade is about to replace may say a code of its own version. */
  code: z.custom<HealthCode>((code) => typeof code === 'string'),
  severity: z.enum(['info', 'warning', 'error']),
  title: z.string(),
  remedy: z.string(),
})
export type Health = Readonly<z.infer<typeof Health>>
