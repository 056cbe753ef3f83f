/** Running a distribution's own tool: fixed path, no inherited variables, bounded in time and output. */
import { spawn } from 'node:child_process'

/** Resolves when the command exits with 0. Rejects with an Error whose message ends in its last words. */
export type RunCommand = (command: string, args: readonly string[], input?: string) => Promise<void>

/** Variables such as SSL_CERT_DIR or OPENSSL_CONF would change what the tools write. */
const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' }
/** update-ca-certificates takes 1.5 s, with Java's hook some seconds; beyond this it hangs. */
const TIMEOUT_MS = 120_000
const KEPT_OUTPUT = 2000

export const runCommand: RunCommand = (command, args, input = '') =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: ENVIRONMENT,
      cwd: '/',
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: TIMEOUT_MS,
    })
    let output = ''
    const keep = (chunk: Buffer) => {
      output = (output + chunk.toString('latin1')).slice(-KEPT_OUTPUT)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    // A tool that doesn't read its input closes the pipe early: its exit status tells, not EPIPE.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
    child.on('error', reject)
    child.on('close', (status, signal) => {
      if (status === 0) resolve()
      else reject(new Error(`${command} ended with ${signal ?? `status ${status}`}: ${output.trim()}`))
    })
  })
