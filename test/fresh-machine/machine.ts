/**
 * A machine with a systemd of its own, booted in the laboratory on the end of its link: its pid, mount, uts, ipc,
 * cgroup and network namespaces are new at each boot, its disk stays. It dies with the laboratory.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, rmdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathOf, renewHost } from '../lab/network.ts'
import { PATH } from '../lab/places.ts'
import { collect, type Outcome } from '../lab/process.ts'

interface ExecOptions {
  /** Over those of an empty environment. */
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
  readonly timeoutMs?: number
}

export interface Machine {
  /** The machine's root directory, seen from the laboratory. Changes with each boot. */
  root(): string
  /** Runs a program as root. */
  run(argv: readonly string[], options?: ExecOptions): Promise<Outcome>
  /** Runs a shell command in a login of that user, with what PAM and the login shell's files give. */
  login(user: string, command: string): Promise<Outcome>
  /**
   * `systemctl reboot`; resolves when it is up again, with what systemd says of itself.
   * @param whileOff done to its link before it starts again
   */
  reboot(whileOff?: () => Promise<void>): Promise<string>
  /** Pulls the plug and switches on again. */
  cutPower(): Promise<string>
  /** Powers off and clears away. */
  stop(): Promise<void>
}

const BOOT_MS = 60_000
const STOP_MS = 90_000
const UP = ['running', 'degraded']
/** systemd.io: SIGRTMIN+4 asks for a power-off; SIGRTMIN is 34 with glibc. */
const POWER_OFF = 34 + 4

/**
 * @param options.layers what its disk holds at first, only read: a root file system, then what lies over it
 * @param options.directory for the disk: new, in memory
 */
export async function startMachine(options: {
  readonly layers: readonly string[]
  readonly directory: string
}): Promise<Machine> {
  const { directory: disk } = options
  for (const name of ['upper', 'work', 'root'])
    await mkdir(join(disk, name), { recursive: true, mode: 0o755 })
  // By short names without a colon, which is what parts them in overlayfs's option.
  for (const [height, layer] of options.layers.entries()) await symlink(layer, join(disk, `layer-${height}`))
  const cgroup = `/sys/fs/cgroup/fresh-machine-${crypto.randomUUID()}`
  const script = join(import.meta.dirname, 'pid-one.sh')
  let keeper: ChildProcess
  let leader = ''

  async function boot(): Promise<string> {
    await mkdir(join(cgroup, 'exec'), { recursive: true })
    await writeFile(join(disk, 'boot_id'), `${crypto.randomUUID()}\n`)
    keeper = spawn(
      'nsenter',
      [
        ...[`--net=${pathOf('host')}`, '--', 'unshare', '--pid', '--fork', '--kill-child', '--mount'],
        ...['--propagation', 'private', '--uts', '--ipc', '--', '/bin/sh', script, disk, cgroup],
      ],
      { env: { PATH }, stdio: 'inherit' },
    )
    const end = Date.now() + BOOT_MS
    let said = ''
    while (!UP.includes(said)) {
      if (keeper.exitCode !== null || keeper.signalCode !== null || Date.now() > end) {
        throw new Error(`the machine did not come up: ${said || (keeper.signalCode ?? keeper.exitCode)}`)
      }
      await sleep(100)
      // unshare's one child is the machine's PID 1.
      leader = (await readFile(`/proc/${keeper.pid}/task/${keeper.pid}/children`, 'utf8')).trim()
      if (leader !== '') said = (await run(['systemctl', 'is-system-running'])).stdout.trim()
    }
    return said
  }

  /** The kernel ends a namespace's PID 1 with SIGHUP for a reboot, with SIGINT for a power-off (pid_namespaces(7)). */
  async function down(how: 'SIGHUP' | 'SIGINT' | 'SIGKILL'): Promise<void> {
    if (keeper.exitCode === null && keeper.signalCode === null) {
      const late = setTimeout(() => keeper.kill('SIGKILL'), STOP_MS)
      await once(keeper, 'exit')
      clearTimeout(late)
    }
    await removeCgroup()
    if (keeper.signalCode !== how)
      throw new Error(`the machine went down with ${keeper.signalCode}, not ${how}`)
  }

  async function removeCgroup(): Promise<void> {
    await writeFile(join(cgroup, 'cgroup.kill'), '1')
    const within = await readdir(cgroup, { recursive: true, withFileTypes: true })
    const directories = within.filter((entry) => entry.isDirectory()).map((e) => join(e.parentPath, e.name))
    for (const directory of [cgroup, ...directories].sort((a, b) => b.length - a.length))
      await emptied(directory)
  }

  /** Dead processes leave their cgroup a moment later. */
  async function emptied(directory: string): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        return await rmdir(directory)
      } catch (error) {
        if (tries === 100) throw error
        await sleep(20)
      }
    }
  }

  function run(argv: readonly string[], how: ExecOptions = {}): Promise<Outcome> {
    const entered = `echo 0 >${cgroup}/exec/cgroup.procs && exec "$@"`
    const variables = { PATH, HOME: '/root', LANG: 'C.UTF-8', TERM: 'dumb', ...how.env }
    const namespaces = ['mount', 'uts', 'ipc', 'net', 'pid', 'cgroup'].map((name) => `--${name}`)
    const child = spawn(
      '/bin/sh',
      [
        ...[
          '-c',
          entered,
          'sh',
          'nsenter',
          '--target',
          leader,
          ...namespaces,
          '--',
          'env',
          '--chdir=/',
          '-i',
        ],
        ...Object.entries(variables).map(([name, value]) => `${name}=${value}`),
        ...argv,
      ],
      { env: { PATH } },
    )
    return collect(child, { timeoutMs: 60_000, ...how })
  }

  async function stop(): Promise<void> {
    if (keeper.exitCode !== null || keeper.signalCode !== null) return
    process.kill(Number(leader), POWER_OFF)
    await down('SIGINT')
  }

  try {
    await boot()
  } catch (error) {
    keeper!.kill('SIGKILL')
    await down('SIGKILL')
    throw error
  }
  return {
    root: () => `/proc/${leader}/root`,
    run,
    login: (user, command) => run(['su', '-', user, '-c', command]),
    async reboot(whileOff) {
      await run(['systemctl', 'reboot'])
      await down('SIGHUP')
      await renewHost()
      await whileOff?.()
      return boot()
    },
    async cutPower() {
      keeper.kill('SIGKILL')
      await down('SIGKILL')
      await renewHost()
      return boot()
    },
    stop,
  }
}
