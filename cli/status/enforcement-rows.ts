/** Rows of the status: which policy is in force, whether its rules stand, and who would see them change; pure. */
import type { SupervisorState } from '../../daemon/supervisor/state-file.ts'
import { ago } from '../ago.ts'
import { counted } from './numbers.ts'

export function enforcementRows({ policy, enforcement, sensor }: SupervisorState, now: Date): string[][] {
  const known = counted(enforcement.addresses, 'provider address', 'provider addresses')
  return [
    ['enforcement', `${policy.name} ${policy.hash.slice(0, 12)}: ${standsText(enforcement)}`],
    ['', `${known}, ${watchText(enforcement, sensor)}`],
    ['', tamperText(enforcement, now)],
  ]
}

function standsText({ redirect, fence }: SupervisorState['enforcement']): string {
  // The kernel lets nobody else change tables that have an owner (nft(8), `flags owner`).
  return `redirect ${redirect ? 'stands (owned)' : 'MISSING'}, fence ${fence ? 'stands' : 'MISSING'}`
}

function watchText(
  { watched, uplinks }: SupervisorState['enforcement'],
  { blind, drops }: SupervisorState['sensor'],
): string {
  const rules = watched ? 'rules watched' : 'rules NOT WATCHED'
  const eyes =
    blind.length > 0
      ? `sensor BLIND in ${counted(blind.length, 'place')}`
      : `sensor sees ${['refusals', ...uplinks].join(', ')}`
  const missed = drops > 0 ? `, ${counted(drops, 'packet')} missed` : ''
  return `${rules}, ${eyes}${missed}`
}

const tamperText = ({ lastTamper }: SupervisorState['enforcement'], now: Date): string =>
  lastTamper === undefined
    ? 'no tampering since the start'
    : `last tampering ${ago(new Date(lastTamper.time).toISOString(), now)} ago by ${lastTamper.by}, put right`
