/**
 * The door of the laboratory. A script that calls `enterLab(import.meta.url)` is run again inside
 * namespaces of its own (mount, network, process), with an empty environment and a private file system,
 * and everything it starts there vanishes with it, however it dies:
 *
 *     this process ──(parent-death signal)──▶ unshare ──(--kill-child)──▶ PID 1 of the namespace
 *
 * When PID 1 dies the kernel kills every process of its namespace (pid_namespaces(7)), and with the last
 * one go the mounts, the network namespaces and their rules.
 */
import { spawn, spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compiledOf } from './compiled.ts'
import { LabError } from './lab-error.ts'
import { insideLab, PATH, REPOSITORY } from './places.ts'

interface EnterOptions {
  /** Names of variables of this process that go along. `TAP_…` always does, for the test runner. */
  readonly pass?: readonly string[]
  /** Further variables. */
  readonly variables?: Readonly<Record<string, string>>
  /**
   * Put the gateway's state directory on the machine's disk (a temporary directory below /var/tmp)
   * instead of memory, so that a benchmark pays for its fsyncs. The one thing that stays behind if the
   * outer process is killed.
   */
  readonly stateOnDisk?: boolean
}

const repository = resolve(dirname(fileURLToPath(import.meta.url)), '../..')
const programs = ['unshare', 'setpriv', 'nsenter', 'mount', 'ip', 'nft']
const stopSignals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGALRM'] as const

/**
 * Returns inside the laboratory; outside it never returns: the process ends with the exit code of its
 * inner self. Where a laboratory can't be made it says why on stderr and exits with 1.
 *
 * @param scriptUrl `import.meta.url` of the script to run again, which lies in this repository
 */
export async function enterLab(scriptUrl: string, options: EnterOptions = {}): Promise<void> {
  if (insideLab()) return
  try {
    requireLinux()
    requireRoot()
    requirePrograms()
    requireNamespaces()
  } catch (error) {
    if (!(error instanceof LabError)) throw error
    process.stderr.write(`laboratory: ${error.message}\n  ${error.remedy}\n`)
    process.exit(1)
  }
  process.exit(await runInside(fileURLToPath(scriptUrl), options))
}

function requireLinux(): void {
  if (process.platform === 'linux') return
  throw new LabError(
    'not-linux',
    `the laboratory is made of Linux namespaces and this is ${process.platform}`,
    'Run it on a Linux machine.',
  )
}

function requireRoot(): void {
  if (process.getuid?.() === 0) return
  throw new LabError('not-root', 'making namespaces takes root', 'Run it again with sudo.')
}

function requirePrograms(): void {
  const missing = programs.filter((program) => !onPath(program))
  if (missing.length === 0) return
  throw new LabError(
    'program-missing',
    `not installed: ${missing.join(', ')}`,
    'Install util-linux, iproute2 and nftables (Debian: apt-get install util-linux iproute2 nftables).',
  )
}

function onPath(program: string): boolean {
  return PATH.split(':').some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** Asks for what the laboratory needs in one throw-away namespace, so that a refusal has a clear message. */
function requireNamespaces(): void {
  if (!existsSync('/proc/sys/net/ipv6')) {
    throw new LabError(
      'kernel-lacks',
      'this kernel runs without IPv6',
      'Boot it without ipv6.disable=1: the laboratory tests both families.',
    )
  }
  const probe = spawnSync(
    'unshare',
    ['--mount', '--net', '--pid', '--fork', '--kill-child', '--', 'nft', 'list', 'tables'],
    { env: { PATH }, encoding: 'utf8' },
  )
  if (probe.status === 0) return
  throw new LabError(
    'kernel-lacks',
    `no namespaces with nftables here: ${(probe.stderr || String(probe.error)).trim()}`,
    'The laboratory needs CAP_SYS_ADMIN and CAP_NET_ADMIN and a kernel with nf_tables; ' +
      'in a container start it with --privileged.',
  )
}

async function runInside(script: string, options: EnterOptions): Promise<number> {
  const inRepository = relative(repository, script)
  if (inRepository.startsWith('..')) throw new LabError('outside', `${script} is not below ${repository}`, '')
  const state = options.stateOnDisk ? mkdtempSync('/var/tmp/agent-anchor-lab-') : ''
  const variables = Object.entries(innerEnvironment(options)).map(([name, value]) => `${name}=${value}`)
  const child = spawn(
    'env',
    [
      // A test runner's hooks add variables of their own (NODE_OPTIONS) to whatever Node spawns.
      ...['-i', ...variables],
      ...['setpriv', '--pdeathsig', 'KILL', '--'],
      ...['unshare', '--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'],
      ...['--propagation', 'private', '--'],
      ...['/bin/sh', join(repository, 'test/lab/private-root.sh'), repository, process.execPath, state],
      ...[inRepository, ...process.argv.slice(2)],
    ],
    { env: { PATH }, stdio: 'inherit' },
  )
  let stoppedBy: (typeof stopSignals)[number] | undefined
  for (const signal of stopSignals) {
    process.on(signal, () => {
      stoppedBy = signal
      // unshare itself ignores SIGINT and SIGTERM while it waits.
      child.kill('SIGKILL')
    })
  }
  const code = await new Promise<number>((done, failed) => {
    child.once('error', failed)
    child.once('exit', (status, signal) => done(status ?? (signal === null ? 1 : 137)))
  })
  if (state !== '') rmSync(state, { recursive: true, force: true })
  return stoppedBy === undefined ? code : 1
}

function innerEnvironment(options: EnterOptions): Record<string, string> {
  const environment: Record<string, string> = {
    ...compiledOf(REPOSITORY),
    ...{ PATH, HOME: '/root', LANG: 'C.UTF-8', LABORATORY: '1' },
  }
  for (const [name, value] of Object.entries(process.env)) {
    const goesAlong = /^TAP(_|$)/.test(name) || options.pass?.includes(name)
    if (goesAlong && value !== undefined) environment[name] = value
  }
  return { ...environment, ...options.variables }
}
