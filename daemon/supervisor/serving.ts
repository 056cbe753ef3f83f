/**
 * What speaks with strangers about logs, where the configuration wants it: the log's server, the witness of other logs,
 * and the client of our own witnesses. Each is a process of its own under the recorder's account, since the log's files
 * are that account's alone, and Node's permission model keeps it to its files: the log's server reads the log, the
 * witness has what it cosigned, the client reads the log and writes the cosigned checkpoint (docs/decisions/026).
 * None holds a key of this log's.
 */
import { fork } from 'node:child_process'
import type { Config } from '../config/config.ts'
import {
  type Cosigning,
  FromServer,
  type LogServerStart,
  type WitnessClientStart,
  type WitnessStart,
} from '../http/messages.ts'
import { COSIGNED_FILES } from '../ledger/cosigned-file.ts'
import type { Account } from './accounts.ts'
import { type Child, supervise } from './child.ts'
import type { Identity } from './identity.ts'
import type { Layout } from './layout.ts'
import type { Log } from './log.ts'
import { childEnvironment, programRoot } from './program.ts'
import type { SupervisorState } from './state-file.ts'
import { unprivileged } from './unprivileged.ts'

type Served = SupervisorState['served'][number]
type ServerName = Served['name'] | 'witness-client'

export interface Serving {
  readonly children: readonly Child[]
  state(): Pick<SupervisorState, 'served' | 'cosigning'>
  stop(): Promise<void>
}

const GRACE_MS = 3000

export function startServing(options: {
  readonly config: Config
  readonly paths: Layout
  readonly account: Account
  readonly identity: Pick<Identity, 'verifierKey' | 'witnessSeed'>
  readonly log: Log
  readonly changed: () => void
  readonly died: (child: string, how: string) => void
}): Serving {
  const { config, paths, identity } = options
  const states = new Map<ServerName, Served>()
  const children: Child[] = []
  let cosigning: Cosigning | undefined
  const serve = (name: ServerName, allowed: readonly string[], start: object): void => {
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
          if (message?.type === 'listening' && name !== 'witness-client') {
            const { listen, why } = message
            states.set(name, { name, listen, ...(why === undefined ? {} : { why }) })
            options.changed()
          }
          if (message?.type === 'cosigning') {
            cosigning = message.state
            options.changed()
          }
          return message?.type === 'ready'
        },
      }),
    )
  }
  const { http, witness, witnesses } = config.ledger
  if (http !== undefined) {
    const start: Omit<LogServerStart, 'type'> = {
      listen: http.listen,
      ledger: paths.ledger,
      entries: http.entries,
    }
    serve('log-server', [`--allow-fs-read=${paths.ledger}/`], start)
  }
  if (witness !== undefined && identity.witnessSeed !== undefined) {
    const { listen, name, logs } = witness
    const dir = paths.witnessState
    const start: Omit<WitnessStart, 'type'> = {
      listen,
      dir,
      name,
      logs: [...logs],
      key: Buffer.from(identity.witnessSeed),
    }
    serve('witness', [`--allow-fs-read=${dir}/`, `--allow-fs-write=${dir}/`], start)
  }
  if (witnesses !== undefined) {
    const { atLeast, of } = witnesses
    const { ledger } = paths
    const start: Omit<WitnessClientStart, 'type'> = { ledger, atLeast, of: [...of] }
    const written = COSIGNED_FILES.map((name) => `--allow-fs-write=${ledger}/${name}`)
    serve('witness-client', [`--allow-fs-read=${ledger}/`, ...written], start)
  }
  return {
    children,
    state: () => ({ served: [...states.values()], ...(cosigning === undefined ? {} : { cosigning }) }),
    async stop() {
      await Promise.all(children.map((child) => child.stop((process) => process.kill('SIGTERM'), GRACE_MS)))
    },
  }
}

function spawnServer(name: ServerName, account: Account, allowed: readonly string[]) {
  const { execPath, execArgv = [] } = unprivileged(account)
  return fork(`${programRoot}/daemon/${name}/main.ts`, [], {
    execPath: execPath!,
    execArgv: [...execArgv, '--permission', `--allow-fs-read=${programRoot}/`, ...allowed],
    cwd: '/',
    env: childEnvironment,
    serialization: 'advanced',
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
}
