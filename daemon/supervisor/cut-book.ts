/**
 * Whom to cut off from where (firewall/cut.ts), since the sensor saw a governed name called there past the proxy. For
 * an hour after the last sight; the kernel is told by the enforcer.
 *
 * Threat model: an agent may leak to as many addresses as it likes, so that each user has only so many cuts, and the
 * oldest of his makes room: nobody's flood gives another's address back.
 */
import { isIPv6 } from 'node:net'
import { type Cut, cutKey } from '../../firewall/cut.ts'
import type { SensorStray } from './sensor-process.ts'

export interface CutBook {
  readonly cuts: readonly Cut[]
  /** Cuts off whoever sent that, and says whether that is news. */
  strayed(stray: SensorStray, now: number): boolean
  /** Forgets what is over; says whether something was. */
  expire(now: number): boolean
}

const LASTS_MS = 3_600_000
const MOST_OF_A_USER = 64
/** Flows of all who can't be told, together. */
const MOST_FLOWS = 1024
const MOST_USERS = 64

interface Held {
  readonly cut: Cut
  until: number
}

export function cutBook(): CutBook {
  /** By user, or together; each in the order of its last sight. */
  const owners = new Map<number | 'flows', Map<string, Held>>()
  return {
    get cuts() {
      return [...owners.values()].flatMap((held) => [...held.values()].map(({ cut }) => cut))
    },
    strayed(stray, now) {
      const cut = cutOf(stray)
      if (!cut) return false
      const owner = 'uid' in cut ? cut.uid : 'flows'
      const held = owners.get(owner) ?? new Map<string, Held>()
      const key = cutKey(cut)
      const known = held.delete(key)
      held.set(key, { cut, until: now + LASTS_MS })
      owners.delete(owner)
      owners.set(owner, held)
      shorten(held, owner === 'flows' ? MOST_FLOWS : MOST_OF_A_USER)
      shorten(owners, MOST_USERS + 1)
      return !known
    },
    expire(now) {
      let some = false
      for (const [owner, held] of owners) {
        for (const [key, { until }] of held) if (until <= now) some = held.delete(key) || some
        if (held.size === 0) owners.delete(owner)
      }
      return some
    },
  }
}

function cutOf({ uid, client, destination: { address } }: SensorStray): Cut | undefined {
  if (uid !== undefined) return { uid, address }
  if (client === undefined || isIPv6(client.address) !== isIPv6(address)) return undefined
  return { source: client, address }
}

/** Drops the oldest. */
function shorten<Key>(map: Map<Key, unknown>, most: number): void {
  for (const key of map.keys()) {
    if (map.size <= most) return
    map.delete(key)
  }
}
