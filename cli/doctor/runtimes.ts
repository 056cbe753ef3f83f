/**
 * Whether each runtime on this machine takes the gateway's certificates: a call to the canary with each, as an
 * ordinary user in the environment of a login. The canary's name stands in an /etc/hosts that only they see.
 */
import { execFile } from 'node:child_process'
import { chmod, chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ClientVariable } from '../../ca/client-environment.ts'
import { clientRemedy } from '../../ca/client-remedy.ts'
import { clientRuntime } from '../../ca/client-runtimes.ts'
import { CANARY_ADDRESS, CANARY_NAME } from '../../daemon/supervisor/canary.ts'
import { childEnvironment } from '../../daemon/supervisor/program.ts'
import { findPrograms, type Program } from '../trust/programs.ts'
import { ordinary } from './as-user.ts'
import { asItComes, type Check } from './check.ts'
import { JAVA_SOURCE, type Place, RUNTIME_CALLS, whyItFailed } from './runtime-calls.ts'

const CALL_MS = 20_000
const AT_ONCE = 2
export interface Caller {
  readonly uid: number
  readonly variables: readonly ClientVariable[]
  readonly certificateFile: string
}

/** While the canary stands. */
export async function* callWithEach(caller: Caller): AsyncGenerator<Check> {
  const programs = (await findPrograms()).filter(
    ({ path, user }) => user === undefined && RUNTIME_CALLS[runtimeOf(path)] !== undefined,
  )
  const directory = await mkdtemp(join(tmpdir(), 'agent-anchor-doctor-'))
  try {
    await chmod(directory, 0o755)
    const hosts = join(directory, 'hosts')
    await writeFile(hosts, `${await readFile('/etc/hosts', 'utf8')}\n${CANARY_ADDRESS} ${CANARY_NAME}\n`)
    const place = { javaSource: join(directory, 'Canary.java'), home: join(directory, 'home') }
    await writeFile(place.javaSource, JAVA_SOURCE, { mode: 0o644 })
    await mkdir(place.home)
    await chown(place.home, caller.uid, caller.uid)
    const left = [...programs]
    async function* lane(): AsyncGenerator<Check> {
      for (let each = left.shift(); each !== undefined; each = left.shift())
        yield await call(each, hosts, place, caller)
    }
    yield* asItComes(Array.from({ length: AT_ONCE }, lane))
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

const runtimeOf = (path: string): string => clientRuntime(path)?.name ?? ''

async function call(
  { path, version }: Program,
  hosts: string,
  place: Place,
  { uid, variables, certificateFile }: Caller,
): Promise<Check> {
  const runtime = runtimeOf(path)
  const check = `${runtime}, as a login has it`
  const name = `${path}${version === undefined ? '' : ` (${version})`}`
  const failed = await asLogin(uid, hosts, RUNTIME_CALLS[runtime]?.(path, place) ?? [])
  if (failed === undefined) return { check, result: 'held', detail: `${name} trusts the CA` }
  const why = whyItFailed(failed)
  if ('noTls' in why) return { check, result: 'held', detail: `${name} speaks no TLS: ${why.noTls}` }
  return 'refuses' in why
    ? {
        ...{ check, result: 'attention', detail: `${name} refuses the CA: ${why.refuses}` },
        remedy: clientRemedy(path, variables, certificateFile),
      }
    : { check, result: 'not-run', detail: `${name}: ${why.unknown}` }
}

/** @returns what it said where it failed */
function asLogin(uid: number, hosts: string, argv: readonly string[]): Promise<string | undefined> {
  // pam_env's file, which a shell does not read, and then what a login shell does.
  const login =
    'set -a; [ -r /etc/environment ] && . /etc/environment; [ -r /etc/profile ] && . /etc/profile; set +a; exec "$@"'
  const script = 'mount --bind "$1" /etc/hosts; shift; exec "$@"'
  return new Promise((resolve) => {
    execFile(
      'unshare',
      [
        ...['--mount', '--propagation', 'private', '--', '/bin/sh', '-ec', script, 'sh', hosts],
        ...[...ordinary(uid), '/usr/bin/env', '-i', 'HOME=/nonexistent', `PATH=${childEnvironment.PATH}`],
        ...['/bin/sh', '-c', login, 'sh', ...argv],
      ],
      { env: childEnvironment, cwd: '/', timeout: CALL_MS },
      (error, stdout, stderr) => resolve(error === null ? undefined : stderr || stdout || error.message),
    )
  })
}
