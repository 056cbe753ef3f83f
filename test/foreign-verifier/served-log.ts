/** The gateway's own server processes, started as the supervisor does but without leaving the account of the test. */
import { type ChildProcess, fork } from 'node:child_process'
import type { Listening } from '../../daemon/http/bounded-server.ts'
import { programRoot } from '../../daemon/supervisor/program.ts'

export interface Server {
  readonly process: ChildProcess
  readonly url: string
  /** What it wrote to stderr. */
  said(): string
  stop(): Promise<void>
  kill(): Promise<void>
}

/** @param allowed further flags of Node's permission model; resolves once it listens */
export async function startServer(
  name: 'log-server' | 'witness',
  start: object,
  allowed: string[],
): Promise<Server> {
  const child = fork(`${programRoot}/daemon/${name}/main.ts`, [], {
    execArgv: [
      '--disable-warning=ExperimentalWarning',
      '--permission',
      `--allow-fs-read=${programRoot}/`,
      ...allowed,
    ],
    env: {},
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  let said = ''
  child.stderr!.on('data', (piece: Buffer) => {
    said += piece.toString()
  })
  const exit = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  child.on('message', (message: { type: string } & Listening) => {
    if (message.type === 'listening' && message.why === undefined) resolve(message.listen)
  })
  exit.then(() => reject(new Error(`${name} ended: ${said}`)))
  child.send({ type: 'start', ...start })
  const url = `http://${await promise}`
  return {
    process: child,
    url,
    said: () => said,
    async stop() {
      child.kill('SIGTERM')
      await exit
    },
    async kill() {
      child.kill('SIGKILL')
      await exit
    },
  }
}

/** A port that nobody has at the moment. */
export async function freePort(): Promise<number> {
  const { createServer } = await import('node:net')
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
