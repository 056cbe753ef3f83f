/**
 * The runtimes' programs on the machine: those in PATH and the usual places, and in the homes of the users, where they
 * are looked for with their own rights. A version is asked only of what cannot be changed by somebody with fewer
 * rights than ours.
 */
import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { CLIENT_RUNTIMES, clientRuntime } from '../../ca/client-runtimes.ts'
import { type LocalUser, localUsers } from '../../ca/trust-stores/local-users.ts'
import { changeableBy } from '../../ca/trust-stores/roots-alone.ts'
import { type RunCommand, runCommand } from '../../ca/trust-stores/run-command.ts'

export interface Program {
  readonly path: string
  /** What a link leads to. */
  readonly real: string
  readonly version?: string
  readonly user?: string
}

const DIRECTORIES = ['/usr/local/bin', '/usr/bin', '/snap/bin', '/usr/local/go/bin']
const MORE = ['/opt/*/bin/*', '/opt/google/chrome/chrome', '/usr/lib/jvm/*/bin/java', '/usr/local/*/bin/*']
/** Below a home: where version managers and installers of runtimes put them. */
const IN_HOME = [
  '.nvm/versions/node/*/bin/node',
  '.local/share/mise/installs/*/*/bin/*',
  '.asdf/installs/*/*/bin/*',
  '.volta/tools/image/*/*/bin/*',
  '.pyenv/versions/*/bin/python',
  '.sdkman/candidates/java/*/bin/java',
  '.jdks/*/bin/java',
  '.local/bin/*',
  '.bun/bin/bun',
  '.deno/bin/deno',
  '.cargo/bin/cargo',
  'bin/*',
]
const FIND = `cd && for f in ${IN_HOME.join(' ')}; do if [ -f "$f" ] && [ -x "$f" ]; then printf '%s\\n' "$PWD/$f"; fi; done`
/** A home holds some; what a user makes by the thousand isn't listed. */
const MOST_IN_HOME = 64
/** Chromium takes half a second, a JVM the same; what takes longer has none to tell. */
const VERSION_MS = 5000

export async function findPrograms(run: RunCommand = runCommand): Promise<Program[]> {
  const path = (process.env.PATH ?? '').split(':').filter((each) => each.startsWith('/'))
  // Shims only choose among the versions that stand elsewhere.
  const directories = [...new Set([...path, ...DIRECTORIES])].filter((each) => basename(each) !== 'shims')
  const globs = [...directories.map((directory) => `${directory}/*`), ...MORE]
  const found = await resolved(globs.flatMap((glob) => globSync(glob)))
  const me = process.getuid?.() ?? 0
  const users = (await localUsers(run).catch(() => [])).filter(({ uid }) => me === 0 || uid === me)
  const inHomes = await Promise.all(users.map((user) => programsOf(user, run, user.uid === me)))
  const programs = first([...found, ...inHomes.flat()], ({ path, real }) => `${nameOf(path)} ${real}`)
  const known = await Promise.all(programs.map(withVersion))
  // pip, pip3 and pip3.11 of one directory are three files and one program.
  return first(known, ({ path, version }) => `${nameOf(path)} ${dirname(path)} ${version ?? path}`).sort(
    (a, b) => ORDER.indexOf(nameOf(a.path)) - ORDER.indexOf(nameOf(b.path)),
  )
}

const ORDER = CLIENT_RUNTIMES.map(({ name }) => name)
const nameOf = (path: string) => clientRuntime(path)?.name ?? ''

/** Of those with the same key, the first. */
function first(programs: readonly Program[], key: (program: Program) => string): Program[] {
  return [...new Map(programs.toReversed().map((program) => [key(program), program])).values()].toReversed()
}

async function programsOf(user: LocalUser, run: RunCommand, ourselves: boolean): Promise<Program[]> {
  const text = await run('/bin/sh', ['-c', FIND], { as: user }).catch(() => '')
  const found = text.split('\n').filter((path) => path !== '' && clientRuntime(path) !== undefined)
  const paths = found.slice(0, MOST_IN_HOME)
  if (ourselves) return await resolved(paths)
  // Not resolved: that would be looking into another's home with our rights.
  return paths.map((path) => ({ path, real: path, user: user.name }))
}

async function resolved(paths: readonly string[]): Promise<Program[]> {
  const known = paths.filter((path) => clientRuntime(path) !== undefined)
  const reals = await Promise.all(known.map((path) => realpath(path).catch(() => undefined)))
  return known.flatMap((path, i) => {
    const real = reals[i]
    return real === undefined ? [] : [{ path, real }]
  })
}

async function withVersion(program: Program): Promise<Program> {
  const runtime = clientRuntime(program.path)
  if (runtime === undefined || program.user !== undefined) return program
  if ((await changeableBy(program.real)) !== undefined) return program
  const text = await new Promise<string>((resolve) => {
    execFile(
      program.path,
      [runtime.versionOption],
      { env: { PATH: '/usr/bin:/bin', HOME: '/nonexistent', LC_ALL: 'C' }, timeout: VERSION_MS, cwd: '/' },
      (_, stdout, stderr) => resolve(`${stdout}\n${stderr}`),
    )
  })
  const version = /\d+(?:\.\d+)+/.exec(text)?.[0]
  return version === undefined ? program : { ...program, version }
}
