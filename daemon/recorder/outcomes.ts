/** How an exchange ended. */
export const OUTCOMES = [
  'complete',
  'interrupted',
  'client-aborted',
  'upstream-aborted',
  'upstream-unreachable',
  'upstream-untrusted',
  'protocol-error',
  'not-recorded',
  'blocked',
] as const
export type Outcome = (typeof OUTCOMES)[number]
