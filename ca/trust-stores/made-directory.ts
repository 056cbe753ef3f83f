/**
 * Directories that weren't there before us: each holds a mark, so that taking them back leaves alone what the
 * administrator made, empty or not, without a list kept elsewhere. Chromium reads every file of its directory as
 * JSON: the mark is that.
 */
import { mkdir, readdir, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { removeFile, syncDirectory } from '../../daemon/base/durable/files.ts'
import { writePublicFile } from '../public-file.ts'
import { exists } from './files.ts'

const MARK = '.made-by-agent-anchor-gateway'

/** Makes a directory and its parents, readable by all, and marks those that it made. */
export async function makeMarkedDirectory(path: string): Promise<void> {
  if (await exists(path)) return
  await makeMarkedDirectory(dirname(path))
  await mkdir(path)
  await writePublicFile(join(path, MARK), Buffer.from('{}\n'), { mode: 0o644 })
  await syncDirectory(dirname(path))
}

/** Removes a directory and its parents as far as they bear our mark and nothing else is in them by now. */
export async function removeMarkedDirectory(path: string): Promise<void> {
  if (!(await exists(join(path, MARK)))) return
  await removeFile(join(path, MARK))
  if ((await readdir(path)).length > 0) return
  await rmdir(path)
  await syncDirectory(dirname(path))
  await removeMarkedDirectory(dirname(path))
}
