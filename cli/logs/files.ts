/** The daemon's log as it lies on the disk: rotated files, oldest first, and what is written while one looks. */
import { type FileHandle, open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { LOG_FILES, LOG_NAME } from '../../daemon/supervisor/log-line.ts'
import { tail } from './tail.ts'

/** Oldest first. The newest has no number; the higher the number, the older. */
export const logFiles = (directory: string): string[] =>
  Array.from({ length: LOG_FILES }, (_, i) => join(directory, `${LOG_NAME}${i === 0 ? '' : i}.log`)).reverse()

/**
 * Every line that is there. A file that another one's rotation took away meanwhile is passed over.
 * @param until of the newest file no more than so many bytes
 * @throws what open(2) says of the newest file where that can't be read
 */
export async function* storedLines(
  directory: string,
  until = Number.POSITIVE_INFINITY,
): AsyncGenerator<string> {
  const files = logFiles(directory)
  for (const file of files) {
    const isNewest = file === files.at(-1)
    const handle = await open(file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT' || isNewest) throw error
      return undefined
    })
    if (handle === undefined) continue
    if (isNewest && until === 0) await handle.close()
    else {
      const input = handle.createReadStream(isNewest ? { end: until - 1 } : {})
      yield* createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })
    }
  }
}

export interface Following {
  /** Bytes of the newest file that were there before. */
  readonly from: number
  /** Lines that are written from then on, through rotations, until `signal` says enough. */
  lines(signal: AbortSignal): AsyncGenerator<string>
}

const LOOK_MS = 200

/** @throws what open(2) says of the newest file */
export async function followLog(directory: string): Promise<Following> {
  const file = join(directory, `${LOG_NAME}.log`)
  const handle = await open(file)
  const from = (await handle.stat()).size
  return { from, lines: (signal) => written(file, handle, from, signal) }
}

async function* written(
  file: string,
  opened: FileHandle,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<string> {
  let handle = opened
  let more = tail(handle, from)
  try {
    while (!signal.aborted) {
      const lines = await more()
      yield* lines
      if (lines.length > 0) continue
      const now = await stat(file).catch(() => undefined)
      if (now === undefined || now.ino === (await handle.stat()).ino) {
        await sleep(LOOK_MS, undefined, { signal }).catch(() => {})
        continue
      }
      const next = await open(file).catch(() => undefined)
      if (next === undefined) continue
      // What came between the last look and the rotation.
      yield* await more()
      await handle.close()
      handle = next
      more = tail(handle, 0)
    }
  } finally {
    await handle.close()
  }
}
