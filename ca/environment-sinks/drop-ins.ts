/** Directories of drop-in files, as systemd reads them: sorted by name, and a file masks those of its name further back. */
import { readdir, readFile, realpath } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { messageOf } from '../../daemon/base/errors.ts'
import { CaError } from '../ca-error.ts'

export interface DropIn {
  /** Absolute, without the root */
  readonly path: string
  /** Where links lead, with the root */
  readonly real: string
  readonly text: string
}

/** The administrator's, then what lasts until the next boot, then the local and the distribution's packages'. */
const PLACES = ['/etc', '/run', '/usr/local/lib', '/usr/lib']

/**
 * @param below such as `environment.d`
 * @throws CaError `environment-file-unreadable`
 */
export async function readDropIns(
  root: string,
  below: string,
  places: readonly string[] = PLACES,
): Promise<DropIn[]> {
  const byName = new Map<string, string>()
  for (const place of places) {
    const directory = join(place, below)
    for (const name of await readdir(join(root, directory)).catch(() => [])) {
      if (name.endsWith('.conf') && !byName.has(name)) byName.set(name, join(directory, name))
    }
  }
  const paths = [...byName.values()].sort((a, b) => (basename(a) < basename(b) ? -1 : 1))
  const files = await Promise.all(paths.map((path) => readDropIn(root, path)))
  return files.filter((file) => file !== undefined)
}

/** Undefined where there is no such file, or a link to one that is gone. */
export async function readDropIn(root: string, path: string): Promise<DropIn | undefined> {
  const named = join(root, path)
  try {
    const real = await realpath(named)
    // A link to /dev/null masks.
    return real === '/dev/null' ? undefined : { path, real, text: await readFile(real, 'latin1') }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw new CaError(
      'environment-file-unreadable',
      `${named} can't be read: ${messageOf(error)}`,
      'Run this as root, and make sure that the path is a file.',
      error,
    )
  }
}
