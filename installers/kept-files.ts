/** Files as they were before an installation, held in memory: a full disk doesn't keep them from being put back. */
import { chmod, chown, lstat, mkdir, readdir, readFile, readlink, rm, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { writeFileAtomic } from '../daemon/base/durable/files.ts'

type Kept =
  | 'absent'
  /** A directory, device or the like: not ours, left alone. */
  | 'other'
  | { readonly link: string }
  | { readonly bytes: Buffer; readonly mode: number; readonly uid: number; readonly gid: number }

export interface KeptFiles {
  /** Remembers a file, or that it isn't there; the first time counts. */
  keep(path: string): Promise<void>
  /** Remembers the files of a directory. What is added to it later stays. */
  keepDirectory(path: string): Promise<void>
  /** Puts back what is no longer as it was. */
  putBack(): Promise<void>
}

export function keptFiles(): KeptFiles {
  const files = new Map<string, Kept>()
  const keep = async (path: string) => {
    if (!files.has(path)) files.set(path, await look(path))
  }
  return {
    keep,
    async keepDirectory(path) {
      for (const name of await readdir(path).catch(() => [])) await keep(join(path, name))
    },
    async putBack() {
      for (const [path, was] of files) {
        if (!isDeepStrictEqual(was, await look(path))) await put(path, was)
      }
    },
  }
}

async function look(path: string): Promise<Kept> {
  const stat = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw error
  })
  if (stat === undefined) return 'absent'
  if (stat.isSymbolicLink()) return { link: await readlink(path) }
  if (!stat.isFile()) return 'other'
  return { bytes: await readFile(path), mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid }
}

async function put(path: string, was: Kept): Promise<void> {
  if (was === 'other') return
  if (was === 'absent') return rm(path, { force: true })
  await mkdir(dirname(path), { recursive: true })
  if ('link' in was) {
    await rm(path, { force: true })
    return symlink(was.link, path)
  }
  await writeFileAtomic(path, was.bytes, { mode: was.mode })
  await chown(path, was.uid, was.gid)
  await chmod(path, was.mode)
}
