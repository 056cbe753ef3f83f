/** Rows of the status: where strangers are served, and who cosigned; pure. */
import type { SupervisorState } from '../../daemon/supervisor/state-file.ts'
import { ago } from '../ago.ts'

export function servedRows({ served, cosigning }: SupervisorState, now: Date): string[][] {
  const rows = served.map(({ name, listen, why }) => [
    'served',
    why === undefined ? `${name} on ${listen}` : `${name} NOT on ${listen}: ${why}`,
  ])
  if (cosigning === undefined) return rows
  const { size, time, atLeast, witnesses } = cosigning
  const of = `${atLeast} of ${witnesses.length} witnesses`
  const last =
    size === undefined || time === undefined ? 'nothing yet' : `${size} leaves, ${ago(time, now)} ago`
  return [...rows, ['witnessed', `${last}, by at least ${of}`]]
}
