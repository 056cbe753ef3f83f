/** What `ledger rebuild-index` does: the same as a start of the daemon without an index, while none runs. */
import { join } from 'node:path'
import { realFileSystem } from '../../daemon/base/durable/file-system.ts'
import { lockLedger } from '../../daemon/ledger/lock.ts'
import { openReader } from '../../daemon/ledger/reader.ts'
import { bodyKeys } from '../../daemon/recorder/bodies/keys.ts'
import { catchUp } from '../../daemon/recorder/index/catch-up.ts'
import { INDEX_FILE } from '../../daemon/recorder/index/database.ts'
import { IndexWriter } from '../../daemon/recorder/index/index-writer.ts'
import type { Progress } from '../progress.ts'
import { interruptible } from './interrupted.ts'

export interface Rebuilt {
  readonly records: number
  readonly places: number
}

/**
 * Of the leaves under the newest checkpoint; the daemon adds the rest when it starts, as it does after Ctrl-C here.
 * @param dir the recorder's directory
 * @throws LedgerError LOCKED while the daemon runs, TILE_* where leaves are damaged; RecorderError, DurableError
 */
export async function rebuildIndex(dir: string, bodyKey: Buffer, progress: Progress): Promise<Rebuilt> {
  const ledger = join(dir, 'ledger')
  const release = await lockLedger(ledger, realFileSystem)
  try {
    const index = IndexWriter.open(join(dir, INDEX_FILE), false).rebuilt()
    try {
      const size = openReader(ledger).checkpoint()?.size ?? 0n
      const files = { dir: join(dir, 'packs'), keys: bodyKeys(bodyKey), fs: realFileSystem, index }
      await interruptible(async (step) => {
        const told = (done: bigint): void => {
          progress.at(done, size)
          step()
        }
        await catchUp(files, { dir: ledger, size }, told)
      })
      return index.counts()
    } finally {
      progress.clear()
      index.close()
    }
  } finally {
    await release()
  }
}
