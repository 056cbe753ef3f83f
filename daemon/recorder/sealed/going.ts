/**
 * Sealed files that go. The key of such a file comes from the salt in its header, so with the header overwritten
 * nothing of it opens any more, wherever copies of its blocks are left. It gets another name first: a crash between
 * the steps then leaves a file that is known to go, and not one that looks damaged.
 */
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import type { FileSystem } from '../../base/durable/file-system.ts'
import { moveFile, shredFile } from '../../base/durable/files.ts'
import { sealedName } from './files.ts'
import { FILE_HEADER, type Purpose } from './format.ts'

const SUFFIX = '.going'

export const goingPath = (dir: string, purpose: Purpose, number: number): string =>
  path.join(dir, sealedName(purpose, number) + SUFFIX)

/** Numbers of the files of a directory that were on their way out; none where it is absent. */
export function goingNumbers(dir: string): number[] {
  let names: string[]
  try {
    names = readdirSync(dir)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  return names.filter((name) => name.endsWith(SUFFIX)).map((name) => Number.parseInt(name, 10))
}

/** From here on no reader finds it. */
export function setAside(dir: string, purpose: Purpose, number: number, fs: FileSystem): Promise<void> {
  return moveFile(path.join(dir, sealedName(purpose, number)), goingPath(dir, purpose, number), fs)
}

/** Both; one that is gone already is fine. */
export async function discard(dir: string, purpose: Purpose, number: number, fs: FileSystem): Promise<void> {
  if (existsSync(path.join(dir, sealedName(purpose, number)))) await setAside(dir, purpose, number, fs)
  await shredAside(dir, purpose, number, fs)
}

export function shredAside(dir: string, purpose: Purpose, number: number, fs: FileSystem): Promise<void> {
  return shredFile(goingPath(dir, purpose, number), FILE_HEADER, fs)
}
