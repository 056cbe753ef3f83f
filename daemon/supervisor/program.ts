/** Where the program itself lies, and how its own Node is started. */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Root of the installed tree (the folder of package.json), no trailing slash. */
export const programRoot = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')

export const programVersion: string = (
  JSON.parse(readFileSync(`${programRoot}/package.json`, 'utf8')) as { version: string }
).version

/** Flags for each Node child: node:sqlite still announces itself as experimental in the current LTS. */
export const nodeFlags = [
  '--disable-warning=ExperimentalWarning',
  '--max-semi-space-size=4',
  // SIGUSR1 would open a debugger, which reads keys.
  '--disable-sigusr1',
]

/** What an install compiled ahead (docs/decisions/061); a tree that nobody prepared has none. */
export const compileCache = `${programRoot}/.compile-cache`

/** The environment of children: nothing inherited, so that no variable of root's shell changes what they trust. */
export const childEnvironment = {
  // glibc gives each thread an arena of its own; two are as fast and keep 100 MB less (measured on 60 MB bodies).
  MALLOC_ARENA_MAX: '2',
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
  ...(existsSync(compileCache) && { NODE_COMPILE_CACHE: compileCache, NODE_COMPILE_CACHE_PORTABLE: '1' }),
}
