/** Whether each state of health has a test that caused it and saw its remedy work, as the tests say (test/lab/health.ts). */
import { HEALTH_CODES } from '../../daemon/base/health-codes.ts'

/** What a test says of a code. */
export const healthComment = (code: string): string => `health ${code}: caused, remedied`

/** The code that a line of TAP says so of, at any depth; undefined where it says nothing. */
export const readHealthComment = (line: string): string | undefined =>
  /^\s*# health (\S+): caused, remedied$/.exec(line)?.[1]

/** What is wrong with a whole run's comments; nothing where each code was caused and remedied. */
export function findHealthProblems(
  seen: ReadonlySet<string>,
  codes: readonly string[] = Object.keys(HEALTH_CODES),
): string[] {
  const missing = codes.filter((code) => !seen.has(code))
  const unknown = [...seen].filter((code) => !codes.includes(code))
  return [
    ...missing.map((code) => `${code} has no test that causes it and sees its remedy work`),
    ...unknown.map((code) => `${code} is not in daemon/base/health-codes.ts`),
  ]
}

/** The number, for the end of a run. */
export const healthText = (seen: ReadonlySet<string>): string =>
  `${seen.size} of ${Object.keys(HEALTH_CODES).length} states of health were caused and remedied`
