/**
 * What is served to strangers, if anything is: the log, and the gateway as a witness of other logs. Each is a process of
 * its own under the recorder's account, since the log's files are that account's alone, and Node's permission model
 * keeps it to its directory: the log's server reads the log and writes nothing, the witness reads and writes
 * what it has cosigned (docs/decisions/026). Neither holds a key of this log's.
 */
import { fork } from 'node:child_process'
import type { Config } from '../config/config.ts'
import { FromServer, type LogServerStart } from '../http/messages.ts'
import type { Account } from './accounts.ts'
import { type Child, supervise } from './child.ts'
import type { Layout } from './layout.ts'
import type { Log } from './log.ts'
import { childEnvironment, programRoot } from './program.ts'
import type { SupervisorState } from './state-file.ts'
import { unprivileged } from './unprivileged.ts'

type Served = SupervisorState['served'][number]

export interface Serving {
  readonly children: readonly Child[]
  state(): Served[]
  stop(): Promise<void>
}

const GRACE_MS = 3000

export function startServing(options: {
  readonly config: Config
  readonly paths: Layout
  readonly account: Account
  readonly log: Log
  readonly changed: () => void
  readonly died: (child: string, how: string) => void
}): Serving {
  const { config, paths } = options
  const states = new Map<string, Served>()
  const children: Child[] = []
  const serve = (name: string, allowed: readonly string[], start: object): void => {
    children.push(
      supervise({
        name,
        log: options.log,
        changed: options.changed,
        died: (how) => {
          states.delete(name)
          options.died(name, how)
        },
        spawn: () => spawnServer(name, options.account, allowed),
        started: (child) => child.send({ type: 'start', ...start }, () => {}),
        message(raw) {
          const message = FromServer.safeParse(raw).data
          if (message === undefined) options.log.error(`${name} sent a message of unknown shape; dropped`)
          if (message?.type === 'listening') {
            const { listen, why } = message
            states.set(name, { name, listen, ...(why === undefined ? {} : { why }) })
            options.changed()
          }
          return message?.type === 'ready'
        },
      }),
    )
  }
  const { http } = config.ledger
  if (http !== undefined) {
    const start: Omit<LogServerStart, 'type'> = {
      listen: http.listen,
      ledger: paths.ledger,
      entries: http.entries,
    }
    serve('log-server', [`--allow-fs-read=${paths.ledger}/`], start)
  }
  return {
    children,
    state: () => [...states.values()],
    async stop() {
      await Promise.all(children.map((child) => child.stop((process) => process.kill('SIGTERM'), GRACE_MS)))
    },
  }
}

function spawnServer(name: string, account: Account, allowed: readonly string[]) {
  const { execPath, execArgv = [] } = unprivileged(account)
  return fork(`${programRoot}/daemon/${name}/main.ts`, [], {
    execPath: execPath!,
    execArgv: [...execArgv, '--permission', `--allow-fs-read=${programRoot}/`, ...allowed],
    cwd: '/',
    env: childEnvironment,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
}
