/** The Debians that fresh machines start from: built once with the machine's network, then read only. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PATH } from '../lab/places.ts'

export type Suite = 'bookworm' | 'trixie'

const here = dirname(fileURLToPath(import.meta.url))
const BUILDER = join(here, 'root-file-system.sh')
/** Below the repository, in a directory that git ignores. */
const CACHE = 'test/.cache/fresh-machine'

/** By what it is made of: another builder makes another one. */
function nameOf(suite: Suite): string {
  return `${suite}-${createHash('sha256').update(readFileSync(BUILDER)).digest('hex').slice(0, 12)}`
}

/** Where it lies, seen from a tree's root. */
export const rootFileSystemOf = (tree: string, suite: Suite): string => join(tree, CACHE, nameOf(suite))

/** Builds it unless it is there, and drops those of older builders. Takes a minute and a Debian mirror. */
export function buildRootFileSystem(suite: Suite): void {
  const target = rootFileSystemOf(resolve(here, '../..'), suite)
  if (existsSync(target)) return
  const cache = dirname(target)
  mkdirSync(cache, { recursive: true })
  for (const old of readdirSync(cache)) {
    if (old.startsWith(`${suite}-`) && !old.startsWith(nameOf(suite))) {
      rmSync(join(cache, old), { recursive: true })
    }
  }
  // Two test files may want it at once; the second one finds it there.
  execFileSync('flock', [join(cache, `${suite}.lock`), BUILDER, suite, target], {
    env: { PATH },
    stdio: 'inherit',
  })
}
