/** Which lines of the log are wanted. */
import { LEVELS, type Level, type LogLine } from '../../daemon/supervisor/log-line.ts'

export interface Selection {
  /** Milliseconds since the epoch. */
  readonly since?: number
  /** These and graver ones. */
  readonly level?: Level
  /** `supervisor`, or a child's name. */
  readonly process?: string
}

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `10m`, `2h`, `1d`: so long ago; else a date or a time as RFC 3339 writes them. Undefined for what is neither. */
export function parseSince(text: string, now: number): number | undefined {
  const [, number, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  if (number !== undefined && unit !== undefined) return now - Number(number) * UNITS[unit]!
  if (!/^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?$/.test(text))
    return undefined
  const time = Date.parse(text.replace(' ', 'T'))
  return Number.isNaN(time) ? undefined : time
}

/**
 * @param line undefined for a line that isn't the daemon's: it says nothing of time, level or process, so it is wanted
 * only where nothing is asked
 */
export function isWanted(line: LogLine | undefined, { since, level, process }: Selection): boolean {
  if (line === undefined) return since === undefined && level === undefined && process === undefined
  if (since !== undefined && Date.parse(line.time) < since) return false
  if (level !== undefined && LEVELS.indexOf(line.level) > LEVELS.indexOf(level)) return false
  return process === undefined || line.process === process
}
