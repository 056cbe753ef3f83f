/** The Debian that fresh machines start from: built once with the machine's network, then read only. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PATH } from '../lab/places.ts'

const here = dirname(fileURLToPath(import.meta.url))
const BUILDER = join(here, 'root-file-system.sh')
/** Below the repository, in a directory that git ignores. */
const CACHE = 'test/.cache/fresh-machine'

/** By what it is made of: another builder makes another one. */
const nameOf = (): string => createHash('sha256').update(readFileSync(BUILDER)).digest('hex').slice(0, 12)

/** Where it lies, seen from a tree's root. */
export const rootFileSystemOf = (tree: string): string => join(tree, CACHE, nameOf())

/** Builds it unless it is there, and drops those of older builders. Takes a minute and a Debian mirror. */
export function buildRootFileSystem(): void {
  const target = rootFileSystemOf(resolve(here, '../..'))
  if (existsSync(target)) return
  const cache = dirname(target)
  mkdirSync(cache, { recursive: true })
  for (const old of readdirSync(cache)) rmSync(join(cache, old), { recursive: true })
  execFileSync(BUILDER, [target], { env: { PATH }, stdio: 'inherit' })
}
