/** Makes the next reading of files come from the disk. */
import { closeSync, openSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import koffi from 'koffi'

/** POSIX_FADV_DONTNEED, posix_fadvise(2): the names stay cached, the bytes don't. */
const DONTNEED = 4

export function forgetPages(dir: string): void {
  const advise = koffi.load(null).func('int posix_fadvise(int fd, int64 offset, int64 length, int advice)')
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const fd = openSync(join(entry.parentPath, entry.name), 'r')
    advise(fd, 0, 0, DONTNEED)
    closeSync(fd)
  }
}
