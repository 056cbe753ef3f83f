/**
 * Follows how far witnesses have cosigned the log, by the file that the witness client keeps: so the recorder takes no
 * word of a process that speaks with strangers, but verifies what stands there.
 */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../../base/errors.ts'
import { newestCosigned } from '../../ledger/cosigned-file.ts'
import { COSIGNED_FILE } from '../../ledger/files.ts'

/** An answer that waits for witnesses waits so much longer at most. */
const LOOK_MS = 100

export interface Witnessed {
  readonly ledger: string
  readonly verifierKey: string
  readonly keys: readonly string[]
  readonly atLeast: number
  readonly log: (line: string) => void
  /** Enough witnesses cosigned a tree of so many leaves. */
  readonly grew: (size: bigint) => void
}

/** Returns the inverse. */
export function followWitnessed({ ledger, verifierKey, keys, atLeast, log, grew }: Witnessed): () => void {
  const file = join(ledger, COSIGNED_FILE)
  let seen = ''
  const look = () => {
    const found = statSync(file, { throwIfNoEntry: false })
    // Each is a file of its own, renamed into place.
    const now = found === undefined ? '' : `${found.ino} ${found.mtimeMs}`
    if (now === seen) return
    seen = now
    try {
      const cosigned = newestCosigned(ledger, verifierKey, keys, atLeast)
      if (cosigned !== undefined) grew(cosigned.checkpoint.size)
    } catch (error) {
      log(`${file}: ${messageOf(error)}`)
    }
  }
  look()
  const timer = setInterval(look, LOOK_MS)
  return () => clearInterval(timer)
}
