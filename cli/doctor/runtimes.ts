/**
 * Whether each runtime on this machine takes the gateway's certificates: a call to the canary with each, as an
 * ordinary user in the environment of a login. The canary's name stands in an /etc/hosts that only they see.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ClientVariable } from '../../ca/client-environment.ts'
import { clientRemedy } from '../../ca/client-remedy.ts'
import { clientRuntime } from '../../ca/client-runtimes.ts'
import { CANARY_ADDRESS, CANARY_NAME } from '../../daemon/supervisor/canary.ts'
import { childEnvironment } from '../../daemon/supervisor/program.ts'
import { findPrograms, type Program } from '../trust/programs.ts'
import type { Check } from './check.ts'

const URL = `https://${CANARY_NAME}/v1/models`
const FETCH = `fetch(${JSON.stringify(URL)}).then((r) => r.text(), (e) => { console.error(String(e.cause ?? e)); process.exit(1) })`
const PYTHON = `import urllib.request as u; u.urlopen(${JSON.stringify(URL)}, timeout=10).read()`

/** By the runtime's name. Of those that aren't here a call takes a compiler, a screen or a repository. */
const CALLS: Readonly<Record<string, readonly string[]>> = {
  Node: ['-e', FETCH],
  Bun: ['-e', FETCH],
  Deno: ['eval', FETCH],
  Python: ['-c', PYTHON],
  Ruby: ['-ropen-uri', '-e', `URI.open(${JSON.stringify(URL)}).read`],
  PHP: ['-r', `exit(file_get_contents(${JSON.stringify(URL)}) === false ? 1 : 0);`],
  curl: ['-sS', '--max-time', '10', '-o', '/dev/null', URL],
  wget: ['-q', '-T', '10', '-t', '1', '-O', '/dev/null', URL],
}
const CALL_MS = 20_000
const AT_ONCE = 2
/** How runtimes say that it is the certificate that they don't take. */
const REFUSED = /certificate|self.signed|unable to (get|verify)|UNABLE_TO|CERT_|UnknownIssuer/i

export interface Caller {
  readonly uid: number
  readonly variables: readonly ClientVariable[]
  readonly certificateFile: string
}

/** While the canary stands. */
export async function* callWithEach(caller: Caller): AsyncGenerator<Check> {
  const programs = (await findPrograms()).filter(
    ({ path, user }) => user === undefined && CALLS[clientRuntime(path)?.name ?? ''] !== undefined,
  )
  const directory = await mkdtemp(join(tmpdir(), 'agent-anchor-doctor-'))
  try {
    const hosts = join(directory, 'hosts')
    await writeFile(hosts, `${await readFile('/etc/hosts', 'utf8')}\n${CANARY_ADDRESS} ${CANARY_NAME}\n`)
    for (let i = 0; i < programs.length; i += AT_ONCE)
      yield* await Promise.all(programs.slice(i, i + AT_ONCE).map((each) => call(each, hosts, caller)))
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function call(
  { path, version }: Program,
  hosts: string,
  { uid, variables, certificateFile }: Caller,
): Promise<Check> {
  const runtime = clientRuntime(path)?.name ?? ''
  const check = `${runtime}, as a login has it`
  const name = `${path}${version === undefined ? '' : ` (${version})`}`
  const failed = await asLogin(uid, hosts, [path, ...(CALLS[runtime] ?? [])])
  if (failed === undefined) return { check, result: 'held', detail: `${name} trusts the CA` }
  const why = failed.trim().split('\n').at(-1)?.slice(0, 200) ?? ''
  return REFUSED.test(failed)
    ? {
        ...{ check, result: 'attention', detail: `${name} refuses the CA: ${why}` },
        remedy: clientRemedy(path, variables, certificateFile),
      }
    : { check, result: 'not-run', detail: `${name}: ${why}` }
}

/** @returns what it said where it failed */
function asLogin(uid: number, hosts: string, argv: readonly string[]): Promise<string | undefined> {
  const ordinary = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--no-new-privs', '--inh-caps=-all']
  // pam_env's file, which a shell does not read, and then what a login shell does.
  const login =
    'set -a; [ -r /etc/environment ] && . /etc/environment; [ -r /etc/profile ] && . /etc/profile; set +a; exec "$@"'
  const script = 'mount --bind "$1" /etc/hosts; shift; exec "$@"'
  return new Promise((resolve) => {
    execFile(
      'unshare',
      [
        ...['--mount', '--propagation', 'private', '--', '/bin/sh', '-ec', script, 'sh', hosts],
        ...[
          'setpriv',
          ...ordinary,
          '--',
          '/usr/bin/env',
          '-i',
          'HOME=/nonexistent',
          `PATH=${childEnvironment.PATH}`,
        ],
        ...['/bin/sh', '-c', login, 'sh', ...argv],
      ],
      { env: childEnvironment, cwd: '/', timeout: CALL_MS },
      (error, stdout, stderr) => resolve(error === null ? undefined : stderr || stdout || error.message),
    )
  })
}
