/** Running a distribution's own tool: no inherited variables, bounded in time and output, as another user if need be. */
import { spawn } from 'node:child_process'

/** A user as whom a tool runs: what lies in a home directory is only ever touched with its owner's rights. */
export interface RunAs {
  readonly uid: number
  readonly gid: number
  readonly home: string
}

export interface RunOptions {
  readonly input?: string
  readonly as?: RunAs
}

/** What the command wrote to stdout. Rejects with an Error whose message ends in its last words unless it exits with 0. */
export type RunCommand = (command: string, args: readonly string[], options?: RunOptions) => Promise<string>

/** Variables such as SSL_CERT_DIR or OPENSSL_CONF would change what the tools write. */
const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' }
/** update-ca-certificates takes 1.5 s, with Java's hook some seconds; beyond this it hangs. */
const TIMEOUT_MS = 120_000
/** For what runs as a user, who can make it hang (a file system of theirs, a signal). */
const USER_TIMEOUT_MS = 20_000
const KEPT_OUTPUT = 2000
/** A bundle has 220 kB; whoever sends more gets it cut. */
const MOST_OUTPUT = 4 * 1024 * 1024

export const runCommand: RunCommand = (command, args, { input = '', as } = {}) =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: as === undefined ? ENVIRONMENT : { ...ENVIRONMENT, HOME: as.home },
      cwd: '/',
      stdio: ['pipe', 'pipe', 'pipe'],
      // Where they are given, root's other groups go too (setgroups).
      ...(as === undefined || as.uid === process.getuid?.() ? {} : { uid: as.uid, gid: as.gid }),
      // A session of its own: no terminal of root's to ask for passwords at, or to put keystrokes into (TIOCSTI).
      detached: as !== undefined,
    })
    let output = ''
    let last = ''
    let exit = 'nothing'
    const keep = (chunk: Buffer) => {
      last = (last + chunk.toString('latin1')).slice(-KEPT_OUTPUT)
    }
    child.stdout.on('data', (chunk: Buffer) => {
      keep(chunk)
      if (output.length < MOST_OUTPUT) output += chunk.toString('latin1')
    })
    child.stderr.on('data', keep)
    // A tool that doesn't read its input closes the pipe early: its exit status tells, not EPIPE.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
    const failed = () => new Error(`${command} ended with ${exit}: ${last.trim()}`)
    // Settles by itself: a user's process can keep the pipes open for longer than the child lives.
    const timer = setTimeout(
      () => {
        exit = 'a timeout'
        child.kill('SIGKILL')
        child.stdout.destroy()
        child.stderr.destroy()
        reject(failed())
      },
      as === undefined ? TIMEOUT_MS : USER_TIMEOUT_MS,
    )
    child.on('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.on('close', (status, signal) => {
      clearTimeout(timer)
      exit = signal ?? `status ${status}`
      if (status === 0) resolve(output)
      else reject(failed())
    })
  })
