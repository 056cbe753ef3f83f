/** Where a run's time goes: whoever makes it shorter looks here first. */

export interface Timed {
  readonly name: string
  readonly milliseconds: number
}

const SHOWN = 10

export const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`

/** The files that took longest, as the run's last words tell them. */
export function slowestText(timed: readonly Timed[]): string {
  const slowest = [...timed].sort((a, b) => b.milliseconds - a.milliseconds).slice(0, SHOWN)
  const rows = slowest.map(({ name, milliseconds }) => `  ${seconds(milliseconds).padStart(8)}  ${name}`)
  return ['\nslowest', ...rows].join('\n')
}
