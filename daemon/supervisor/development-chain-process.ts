/** The embedded development chain as a child of the daemon, under the recorder's account. */
import { spawn } from 'node:child_process'
import { developmentChainCommand } from '../chain-writer/development-chain.ts'
import type { Account } from './accounts.ts'
import { type Child, type ChildState, supervise } from './child.ts'
import type { Log } from './log.ts'
import { childEnvironment } from './program.ts'
import { droppingTo } from './unprivileged.ts'

export function startDevelopmentChain(options: {
  readonly account: Account
  readonly port: number
  readonly stateDirectory: string
  readonly log: Log
  readonly changed: (state: ChildState) => void
  readonly died: (how: string) => void
}): Child {
  return supervise({
    name: 'development-chain',
    log: options.log,
    changed: options.changed,
    died: options.died,
    readyWhenSpawned: true,
    message: () => false,
    spawn: () => {
      const [command, ...args] = developmentChainCommand({
        port: options.port,
        stateDirectory: options.stateDirectory,
      })
      // It has no IPC channel to notice our death by: the kernel ends it with us (prctl PR_SET_PDEATHSIG).
      const drop = [...droppingTo(options.account), '--pdeathsig=KILL', '--']
      return spawn('setpriv', [...drop, command, ...args], {
        cwd: '/',
        env: { ...childEnvironment, HOME: options.stateDirectory },
        stdio: ['ignore', 'ignore', 'pipe'],
      })
    },
  })
}
