/** The retention at work: looks now and then, lets one pack go after the other, and leaves errors for the next look. */
import { messageOf } from '../../base/errors.ts'
import type { Finaliser } from '../finalise/finaliser.ts'
import { readSpace, spaceState } from './free-space.ts'
import { PatientClock } from './patient-clock.ts'
import { expireOne, type RetentionLimits } from './retention.ts'

export interface RetentionSettings extends RetentionLimits {
  /** Free bytes below which nothing new is recorded; by the size of the disk where absent. */
  readonly reserve?: number | undefined
}

const LOOK_MS = 5000
const MOST_PACK_MS = 24 * 3600_000
const MOST_PACK = 256 << 20
/** What goes by packs goes at most so much later, or earlier, than the limit says: a share of it. */
const SHARE = 10

/** How large and how old a pack may grow under these limits. */
export function packLimits({ maxAgeMs, maxSize }: RetentionLimits): { packMs: number; packBytes: number } {
  return {
    packMs: Math.min(MOST_PACK_MS, (maxAgeMs ?? Number.POSITIVE_INFINITY) / SHARE),
    packBytes: Math.min(MOST_PACK, (maxSize ?? Number.POSITIVE_INFINITY) / SHARE),
  }
}

/** @returns what ends it, and waits for the step under way */
export function keepRetention(
  finaliser: Finaliser,
  dir: string,
  settings: RetentionSettings,
  log: (line: string) => void,
): () => Promise<void> {
  const { maxAgeMs, maxSize, whenDiskFull } = settings
  if (maxAgeMs === undefined && maxSize === undefined && whenDiskFull === 'refuse') return async () => {}
  let stopped = false
  let looking: Promise<void> | undefined
  const last = finaliser.stores.index.lastTime()
  const clock = new PatientClock(last === undefined ? Date.now() : Date.parse(last), performance.now())
  const short = () => ['scarce', 'short'].includes(spaceState(readSpace(dir), settings.reserve))
  const look = async () => {
    try {
      const now = clock.look(Date.now(), performance.now())
      while (!stopped && (await expireOne(finaliser, settings, { now, diskShort: short() })));
    } catch (error) {
      if (!stopped) log(`retention: ${messageOf(error)}`)
    }
    looking = undefined
  }
  const timer = setInterval(() => {
    looking ??= look()
  }, LOOK_MS)
  return async () => {
    stopped = true
    clearInterval(timer)
    await looking
  }
}
