/**
 * What goes by itself: the content of the oldest pack, while it is too old, all packs together are too large, or the
 * disk is nearly full and the settings say so. One pack at a time, and never a leaf: the log says what went, and proofs
 * stay what they are. Whole packs go, so nothing has to be read or written anew, and records come in meanwhile.
 */
import { statSync } from 'node:fs'
import path from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { finishDrop } from '../erasure/drop-pack.ts'
import { type Amount, type Expiry, expiredRecord } from '../erasure/erasure-record.ts'
import type { Finaliser } from '../finalise/finaliser.ts'
import { encodeRecord } from '../finalise/fit.ts'
import type { Stores } from '../finalise/stores.ts'
import { rfc3339 } from '../finalise/time.ts'
import { expiredBefore } from '../index/erased.ts'
import { indexedLeaf } from '../index/row.ts'
import { sealedName, sealedNumbers } from '../sealed/files.ts'
import { setAside } from '../sealed/going.ts'

export interface RetentionLimits {
  readonly maxAgeMs?: number | undefined
  /** Bytes of all packs together. */
  readonly maxSize?: number | undefined
  /** Whether content goes, oldest first, while the disk is short of space. */
  readonly whenDiskFull: 'refuse' | 'expire'
}

/** A pack with content of records. */
export interface HeldPack {
  readonly pack: number
  /** Of the newest record in it. */
  readonly lastLeaf: number
  /** When the last exchange in it began, at the earliest; milliseconds since the epoch. */
  readonly lastTime: number
}

/** Why the oldest pack is to go now; undefined where it stays. Pure. */
export function dueFor(
  oldest: HeldPack,
  { maxAgeMs, maxSize, whenDiskFull }: RetentionLimits,
  { now, size, diskShort }: { readonly now: number; readonly size: number; readonly diskShort: boolean },
): Expiry | undefined {
  if (maxAgeMs !== undefined && oldest.lastTime < now - maxAgeMs) return 'age'
  if (maxSize !== undefined && size > maxSize) return 'size'
  return diskShort && whenDiskFull === 'expire' ? 'disk' : undefined
}

/**
 * Lets one pack go if one is due.
 * @returns false where none is
 * @throws the disk's error; what the log says by then is finished by the next call, or the next start.
 */
export async function expireOne(
  finaliser: Pick<Finaliser, 'between'>,
  limits: RetentionLimits,
  { now, diskShort }: { readonly now: number; readonly diskShort: boolean },
): Promise<boolean> {
  const due = await finaliser.between(async (stores) => {
    // A time is of a clock that was ahead where no clock says so now, the patient one (patient-clock.ts) included.
    const oldest = oldestPack(stores, Math.max(now, Date.now()))
    if (oldest === undefined) return undefined
    const { index, packs } = stores
    const said = oldest.lastLeaf < expiredBefore(index.database)
    const reason = dueFor(oldest, limits, { now, size: sizeOf(stores), diskShort })
    if (!said && reason === undefined) return undefined
    if (packs.active === oldest.pack) {
      await packs.reserve(0)
      index.add([], await packs.commit())
    }
    if (!said && reason !== undefined) await say(stores, oldest, reason)
    await setAside(stores.dir, 'pack', oldest.pack, stores.fs)
    return { stores, pack: oldest.pack }
  })
  if (due === undefined) return false
  await finishDrop(due.stores, due.pack)
  return true
}

function oldestPack({ index, dir }: Stores, now: number): HeldPack | undefined {
  const range = index.database.prepare(
    'SELECT min(leaf) AS first, max(leaf) AS last FROM place WHERE pack = ? AND leaf >= 0',
  )
  let oldest: { pack: number; first: number; last: number } | undefined
  for (const pack of sealedNumbers(dir, 'pack')) {
    const { first, last } = range.get(pack) as { first: number | null; last: number | null }
    if (first === null || last === null) continue
    if (oldest === undefined || first < oldest.first) oldest = { pack, first, last }
  }
  if (oldest === undefined) return undefined
  return { pack: oldest.pack, lastLeaf: oldest.last, lastTime: timeOf(index.database, oldest, now) }
}

/** Records that are looked at for a pack's time: so many that one of them was a short exchange. */
const LOOKED_AT = 1024

/**
 * A record has the time at which its exchange began, and stands where it ended: the last one of a pack may have begun
 * long before the others. Where a clock was ahead while they were recorded, what was recorded next tells by when that was.
 */
function timeOf(
  database: DatabaseSync,
  { first, last }: { first: number; last: number },
  now: number,
): number {
  const newest = database.prepare(
    'SELECT max(time) AS time FROM (SELECT time FROM record WHERE leaf BETWEEN ? AND ? ORDER BY leaf DESC LIMIT ?)',
  )
  const time = Date.parse(String(newest.get(first, last, LOOKED_AT)?.time))
  if (time <= now) return time
  const next = database.prepare(
    "SELECT max(time) AS time FROM (SELECT time FROM record WHERE kind = 'exchange' AND leaf > ? AND time <= ? ORDER BY leaf LIMIT ?)",
  )
  const bound = next.get(last, rfc3339(now), LOOKED_AT)?.time
  return typeof bound === 'string' ? Date.parse(bound) : time
}

/** Bytes of all packs together. */
export function sizeOf({ dir }: Pick<Stores, 'dir'>): number {
  return sealedNumbers(dir, 'pack').reduce(
    (sum, pack) =>
      sum + (statSync(path.join(dir, sealedName('pack', pack)), { throwIfNoEntry: false })?.size ?? 0),
    0,
  )
}

async function say({ index, ledger }: Stores, { pack, lastLeaf }: HeldPack, reason: Expiry): Promise<void> {
  const amount = index.database
    .prepare(
      'SELECT count(DISTINCT leaf) AS records, count(*) AS parts FROM place WHERE pack = ? AND leaf >= 0',
    )
    .get(pack) as unknown as Amount
  const record = expiredRecord(lastLeaf + 1, reason, amount)
  const bytes = encodeRecord(record)
  index.add([indexedLeaf(Number(await ledger.append(bytes)), bytes, record)])
}
