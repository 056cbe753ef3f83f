import { type ChildProcess, spawn } from 'node:child_process'
import { LabError } from './lab-error.ts'
import { PATH } from './places.ts'

export interface Outcome {
  /** Exit status; null where a signal ended the process. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  /** stdout as it came, for comparisons byte for byte. */
  readonly stdoutBytes: Buffer
  readonly stderr: string
}

interface Collecting {
  readonly input?: string | Uint8Array
  /** Milliseconds until the process is killed; its outcome then has signal SIGKILL. */
  readonly timeoutMs?: number
}

/** Feeds a process its input, gathers its output and waits for its end. Needs piped stdio. */
export async function collect(child: ChildProcess, options: Collecting = {}): Promise<Outcome> {
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk))
  // A process that ends without reading its input is no error here: its exit code speaks.
  child.stdin?.on('error', () => {})
  child.stdin?.end(options.input ?? '')
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 30_000)
  try {
    return await new Promise<Outcome>((done, failed) => {
      child.once('error', failed)
      child.once('close', (code, signal) => {
        const stdoutBytes = Buffer.concat(stdout)
        const text = { stdout: stdoutBytes.toString(), stderr: Buffer.concat(stderr).toString() }
        done({ code, signal, stdoutBytes, ...text })
      })
    })
  } finally {
    clearTimeout(timer)
  }
}

/** Runs one of the machine's tools as root where this process stands; anything but success is an error. */
export async function tool(argv: readonly [string, ...string[]], input = ''): Promise<string> {
  const [program, ...rest] = argv
  const outcome = await collect(spawn(program, rest, { env: { PATH } }), { input })
  if (outcome.code === 0) return outcome.stdout
  throw new LabError(
    'command-failed',
    `${argv.join(' ')}: ${outcome.stderr.trim() || `ended with ${outcome.code ?? outcome.signal}`}`,
    'See what the command says; the laboratory needs root, iproute2 and a kernel with network namespaces.',
  )
}
