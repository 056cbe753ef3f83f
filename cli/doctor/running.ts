/** The processes that run on this machine, as /proc shows them to root. */
import { readdir, readFile, readlink } from 'node:fs/promises'

/** Of the clock in which /proc tells when a process began; Linux shows it in this unit on every machine. proc(5), USER_HZ */
const TICKS_A_SECOND = 100

export interface Running {
  readonly pid: number
  readonly uid: number
  /** What it calls itself; 15 bytes at most. */
  readonly name: string
  readonly executable: string
  /** Names and values that it was started with. Never shown: there are secrets among them. */
  readonly environment: ReadonlyMap<string, string>
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  /** The systemd unit that it belongs to. */
  readonly unit?: string
}

/** Kernel threads, and what ends meanwhile, are left out. proc(5) */
export async function runningProcesses(root = '/proc'): Promise<Running[]> {
  const booted = Date.now() - Number.parseFloat(await readFile(`${root}/uptime`, 'latin1')) * 1000
  const pids = (await readdir(root)).filter((name) => /^[0-9]+$/.test(name))
  const found: Running[] = []
  for (const pid of pids) {
    try {
      found.push(await read(`${root}/${pid}`, Number(pid), booted))
    } catch {
      // Gone, or none of a program.
    }
  }
  return found
}

async function read(directory: string, pid: number, booted: number): Promise<Running> {
  const [executable, environ, status, cgroup, stat] = await Promise.all([
    readlink(`${directory}/exe`),
    readFile(`${directory}/environ`, 'latin1'),
    readFile(`${directory}/status`, 'latin1'),
    readFile(`${directory}/cgroup`, 'latin1'),
    readFile(`${directory}/stat`, 'latin1'),
  ])
  // The name in parentheses may hold spaces and parentheses: count from the last one.
  const started = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19])
  const unit = /\/([^/\n]+\.service)(?:\/|$)/m.exec(cgroup)?.[1]
  return {
    pid,
    uid: Number(/^Uid:\t(\d+)/m.exec(status)?.[1]),
    name: /^Name:\t(.*)$/m.exec(status)?.[1] ?? '',
    executable,
    startedAt: booted + (started / TICKS_A_SECOND) * 1000,
    environment: new Map(
      environ.split('\0').flatMap((entry) => {
        const at = entry.indexOf('=')
        return at > 0 ? [[entry.slice(0, at), entry.slice(at + 1)] as const] : []
      }),
    ),
    ...(unit === undefined ? {} : { unit }),
  }
}
