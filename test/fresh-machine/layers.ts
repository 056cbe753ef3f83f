/**
 * What fresh machines' disks hold at first, in layers: each is built once with the machine's network, kept below the
 * repository in a directory that git ignores, and then only read.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { LabError } from '../lab/lab-error.ts'
import { PATH } from '../lab/places.ts'

export const SUITES = ['bookworm', 'trixie'] as const
export type Suite = (typeof SUITES)[number]

const here = import.meta.dirname
const CACHE = 'test/.cache/fresh-machine'
const cache = resolve(here, '../..', CACHE)
/** Where programs lie that are compiled into the layer of programs. */
const SOURCES = join(here, 'programs')
const COMPILED = ['call.go', 'Call.java'].map((name) => join(SOURCES, name))

interface Layer {
  /** All but the last part is the same for older and newer ones. */
  readonly name: string
  /** Program and arguments that make the directory named last. */
  readonly builder: readonly [string, ...string[]]
}

/** By what it is made of: another builder makes another one. */
function nameOf(kind: string, files: readonly string[], under = ''): string {
  const hash = createHash('sha256').update(under)
  for (const file of files) hash.update(readFileSync(file))
  return `${kind}-${hash.digest('hex').slice(0, 12)}`
}

function rootFileSystem(suite: Suite): Layer {
  const script = join(here, 'root-file-system.sh')
  return { name: nameOf(suite, [script]), builder: [script, suite] }
}

function programs(suite: Suite): Layer {
  const script = join(here, 'programs-layer.sh')
  const root = rootFileSystem(suite).name
  return {
    name: nameOf(`programs-${suite}`, [script, ...COMPILED], root),
    builder: [script, join(cache, root), SOURCES],
  }
}

/** A bare Debian, as seen from a tree's root. */
export const bareDebian = (tree: string, suite: Suite): string[] => [
  join(tree, CACHE, rootFileSystem(suite).name),
]

/** A Debian with cron, an SSH server and everything that agents are written in; from npm below /opt/runtimes. */
export const furnishedDebian = (tree: string, suite: Suite): string[] => [
  ...bareDebian(tree, suite),
  join(tree, CACHE, programs(suite).name),
  join(tree, CACHE, 'runtimes'),
]

/** Takes a minute and a Debian mirror, the first time. */
export function buildBareDebian(suite: Suite): void {
  build(rootFileSystem(suite))
}

/**
 * Takes some minutes and a Debian mirror, the first time.
 * @throws LabError runtimes-missing
 */
export function buildFurnishedDebian(suite: Suite): void {
  if (!existsSync(join(cache, 'runtimes/stamp'))) {
    throw new LabError(
      'runtimes-missing',
      `${CACHE}/runtimes is not filled`,
      'Run the test by `./test/run fresh-machine`, which downloads them from npm first.',
    )
  }
  buildBareDebian(suite)
  build(programs(suite))
}

/** Unless it is there; drops those of older builders. */
function build({ name, builder }: Layer): void {
  if (existsSync(join(cache, name))) return
  mkdirSync(cache, { recursive: true })
  const kind = name.slice(0, name.lastIndexOf('-') + 1)
  for (const old of readdirSync(cache)) {
    if (old.startsWith(kind) && !old.startsWith(name)) rmSync(join(cache, old), { recursive: true })
  }
  // Two test files may want it at once; the second one finds it there.
  const lock = join(cache, `lock-${kind.slice(0, -1)}`)
  execFileSync('flock', [lock, ...builder, join(cache, name)], { env: { PATH }, stdio: 'inherit' })
}
