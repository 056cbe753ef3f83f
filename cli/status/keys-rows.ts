/** Rows of the status: what seals the keys, until when the CA is good, and whether it is being rotated; pure. */
import type { AuthorityState } from '../../daemon/supervisor/authority/authority-state.ts'
import { ahead } from '../ago.ts'
import type { LiveState } from '../live-state.ts'

export function keysRows({ supervisor, authorityUntil }: LiveState, now: Date): string[][] {
  if (supervisor === undefined) return []
  return [
    ['keys', `${supervisor.vault}; ${authorityText(authorityUntil, now)}`],
    ...rotationRows(supervisor.ca),
  ]
}

function authorityText(until: string | undefined, now: Date): string {
  if (until === undefined) return 'the CA certificate CAN’T BE READ'
  const day = until.slice(0, 10)
  return Date.parse(until) < now.getTime()
    ? `the CA ENDED on ${day}`
    : `the CA is good until ${day}, for ${ahead(until, now)}`
}

function rotationRows({ certificates: [, other], rotation }: AuthorityState): string[][] {
  if (rotation === undefined || other === undefined) return []
  const name = `${other.sha256.slice(0, 16)}…`
  const text = {
    introduced: `its successor ${name} is not in every trust store yet`,
    distributed: `its successor ${name} is trusted too, and signs from ${rotation.due}`,
    signing: `it signs since ${rotation.since}; the former ${name} is still trusted`,
  }
  return [['', text[rotation.step]]]
}
