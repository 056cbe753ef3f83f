/**
 * The npm packages that an install fetches, for a laboratory without a registry: filled outside, by the machine's
 * npm, from the lock files; read inside, offline.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const repository = resolve(dirname(fileURLToPath(import.meta.url)), '../..')
/** Below the repository, in a directory that git ignores. */
const CACHE = 'test/.cache/npm'
const TREES = ['.', 'installers/runtime']

/** Downloads what is missing; does nothing where the cache is of the same lock files. Needs the registry then. */
export function fillNpmCache(): void {
  const cache = join(repository, CACHE)
  const stamp = join(cache, 'stamp')
  const locks = TREES.map((tree) => readFileSync(join(repository, tree, 'package-lock.json')))
  const wanted = createHash('sha256').update(Buffer.concat(locks)).digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  rmSync(cache, { recursive: true, force: true })
  mkdirSync(cache, { recursive: true })
  for (const tree of TREES) {
    const scratch = mkdtempSync(join(tmpdir(), 'agent-anchor-npm-'))
    for (const file of ['package.json', 'package-lock.json']) {
      copyFileSync(join(repository, tree, file), join(scratch, file))
    }
    execFileSync(
      'npm',
      ['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--cache', cache],
      {
        cwd: scratch,
        stdio: ['ignore', 'ignore', 'inherit'],
      },
    )
    rmSync(scratch, { recursive: true })
  }
  writeFileSync(stamp, wanted)
}

/** Variables by which npm inside reads a copy of the cache and asks no registry. npm writes into its cache. */
export const offlineNpm = (copy: string): Record<string, string> => ({
  npm_config_cache: copy,
  npm_config_offline: 'true',
  npm_config_update_notifier: 'false',
})

/** Where the filled cache lies, seen from a tree's root. */
export const npmCacheOf = (tree: string): string => join(tree, CACHE)
