/** Spans of time, in the largest sensible unit: 12 s, 3 min, 5 h, 2 d, 9 y. */
const YEAR = 365.25 * 86_400

/** How long since. */
export const ago = (time: string, now: Date): string => span(now.getTime() - Date.parse(time))

/** How long from now on. */
export const ahead = (time: string, now: Date): string => span(Date.parse(time) - now.getTime())

function span(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000))
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`
  if (seconds < 2 * YEAR) return `${Math.round(seconds / 86_400)} d`
  return `${Math.floor(seconds / YEAR)} y`
}
