/**
 * The npm packages that an install fetches, for a laboratory without a registry: filled by test/run, which still
 * has the environment in which the machine's npm reaches its registry; read inside, offline.
 */
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { LabError } from './lab-error.ts'

const repository = resolve(dirname(fileURLToPath(import.meta.url)), '../..')
/** Below the repository, in a directory that git ignores. */
const CACHE = 'test/.cache/npm'

/** @throws LabError npm-cache-missing */
export function requireNpmCache(): void {
  if (existsSync(join(repository, CACHE, 'stamp'))) return
  throw new LabError(
    'npm-cache-missing',
    `${CACHE} is not filled`,
    'Run the test by `./test/run system install`, which downloads what an install needs first.',
  )
}

/** Variables by which npm inside reads a copy of the cache and asks no registry. npm writes into its cache. */
export const offlineNpm = (copy: string): Record<string, string> => ({
  npm_config_cache: copy,
  npm_config_offline: 'true',
  npm_config_update_notifier: 'false',
})

/** Where the filled cache lies, seen from a tree's root. */
export const npmCacheOf = (tree: string): string => join(tree, CACHE)
