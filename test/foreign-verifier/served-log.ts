/** The gateway's own server processes, started as the supervisor does but without leaving the account of the test. */
import { fork } from 'node:child_process'
import { createServer } from 'node:net'
import { type Cosigning, FromServer } from '../../daemon/http/messages.ts'
import { programRoot } from '../../daemon/supervisor/program.ts'

export interface Server {
  readonly url: string
  /** What it wrote to stderr. */
  said(): string
  stop(): Promise<void>
  kill(): Promise<void>
}

/** @param allowed further flags of Node's permission model; resolves once it listens, or has told of witnesses */
export async function startServer(
  name: 'log-server' | 'witness' | 'witness-client',
  start: object,
  allowed: string[],
  told: (state: Cosigning) => void = () => {},
): Promise<Server> {
  const child = fork(`${programRoot}/daemon/${name}/main.ts`, [], {
    // The test runner's NODE_OPTIONS load what the permission model forbids; they come back into any environment.
    execPath: '/usr/bin/env',
    execArgv: [
      '-u',
      'NODE_OPTIONS',
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      '--permission',
      `--allow-fs-read=${programRoot}/`,
      ...allowed,
    ],
    env: {},
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  let said = ''
  child.stderr!.on('data', (piece: Buffer) => {
    said += piece.toString()
  })
  const exit = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  child.on('message', (raw) => {
    const message = FromServer.parse(raw)
    if (message.type === 'listening' && message.why === undefined) resolve(message.listen)
    if (message.type !== 'cosigning') return
    told(message.state)
    resolve('')
  })
  exit.then(() => reject(new Error(`${name} ended: ${said}`)))
  child.send({ type: 'start', ...start })
  const url = `http://${await promise}`
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    await exit
  }
  return { url, said: () => said, stop: () => end('SIGTERM'), kill: () => end('SIGKILL') }
}

/** A port that nobody has at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
