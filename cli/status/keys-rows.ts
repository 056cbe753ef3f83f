/** Row of the status: what seals the keys, and until when the CA is good; pure. */
import { ahead } from '../ago.ts'
import type { LiveState } from '../live-state.ts'

export function keysRows({ supervisor, authorityUntil }: LiveState, now: Date): string[][] {
  if (supervisor === undefined) return []
  return [['keys', `${supervisor.vault}; ${authorityText(authorityUntil, now)}`]]
}

function authorityText(until: string | undefined, now: Date): string {
  if (until === undefined) return 'the CA certificate CAN’T BE READ'
  const day = until.slice(0, 10)
  return Date.parse(until) < now.getTime()
    ? `the CA ENDED on ${day}`
    : `the CA is good until ${day}, for ${ahead(until, now)}`
}
