/** How much is left on the file system of the records, and what follows from it. */
import { statfsSync } from 'node:fs'
import { amount } from '../../base/amount.ts'
import type { Health } from '../../base/health.ts'
import type { FailedPayload } from '../protocol.ts'

export interface Space {
  /** Bytes that the recorder's account may still write. */
  readonly free: number
  readonly total: number
}

/**
 * `low`: the administrator is warned. `scarce`: content goes early where the settings say so. `short`: nothing new is
 * begun, so that what has begun can be written to its end.
 */
export type SpaceState = 'ample' | 'low' | 'scarce' | 'short'

/** Of a disk of any size; on a small one its fiftieth part. */
const MOST_RESERVE = 256 << 20
const RESERVE_SHARE = 50
/** In reserves. */
const LOW_AT = 4
const SCARCE_AT = 2
/** Of the reserve. */
const KEPT_BACK_SHARE = 8

/** Bytes below which nothing new is begun. @param set by the administrator; absent: by the size of the disk */
export function reserveOf({ total }: Space, set: number | undefined): number {
  return set ?? Math.min(MOST_RESERVE, Math.floor(total / RESERVE_SHARE))
}

/** Bytes that no exchange gets: records, log and index must find room when what has begun has taken the reserve. */
export function keptBack(space: Space, set: number | undefined): number {
  return Math.floor(reserveOf(space, set) / KEPT_BACK_SHARE)
}

export function spaceState(space: Space, set: number | undefined): SpaceState {
  const reserve = reserveOf(space, set)
  if (space.free < reserve) return 'short'
  if (space.free < SCARCE_AT * reserve) return 'scarce'
  return space.free < LOW_AT * reserve ? 'low' : 'ample'
}

/** @throws the system's error */
export function readSpace(dir: string): Space {
  const { bavail, blocks, bsize } = statfsSync(dir)
  return { free: bavail * bsize, total: blocks * bsize }
}

/** Why an exchange isn't begun. */
export function shortOf(space: Space, set: number | undefined): FailedPayload {
  const message = `no space left for records: ${amount(space.free)} are left, ${amount(reserveOf(space, set))} are kept for what has begun`
  return { code: 'NO_SPACE', message }
}

export function spaceHealth(space: Space, set: number | undefined): Health[] {
  const state = spaceState(space, set)
  if (state === 'ample') return []
  const left = `${amount(space.free)} are left on the file system of the records`
  return [
    {
      code: 'recorder.space',
      severity: state === 'short' ? 'error' : 'warning',
      title: state === 'short' ? `${left}: governed calls are refused` : left,
      remedy:
        'Free space on this file system, or limit what is kept: retention.maxSize or retention.maxAge in gateway.yaml.',
    },
  ]
}
