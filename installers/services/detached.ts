/** The gateway where nothing starts services: a process apart from the terminal, until the machine goes down. */
import { spawn } from 'node:child_process'
import type { Config } from '../../daemon/config/config.ts'
import { layout } from '../../daemon/supervisor/layout.ts'
import { childEnvironment, programRoot } from '../../daemon/supervisor/program.ts'
import { processStart, readState } from '../../daemon/supervisor/state-file.ts'
import type { ServiceManager } from './service-manager.ts'

export function detached({ runtimeDir, shutdown }: Pick<Config, 'runtimeDir' | 'shutdown'>): ServiceManager {
  const stop = () => stopDaemon(runtimeDir, shutdown.drainMs)
  return {
    name: 'none',
    units: [],
    words: [
      'no service manager here: started detached. It WILL NOT survive a reboot; start it then with',
      '`agent-anchor daemon`, from whatever starts services on this machine.',
    ],
    install: async () => false,
    renew: async () => false,
    remove: async () => {},
    reread: async () => {},
    async start(how) {
      if (how === 'restart') await stop()
      else if ((await readState(stateFile(runtimeDir))) !== undefined) return () => false
      const daemon = spawn(`${programRoot}/cli/agent-anchor`, ['daemon'], {
        detached: true,
        stdio: 'ignore',
        cwd: '/',
        env: childEnvironment,
      })
      daemon.unref()
      return () => daemon.exitCode !== null || daemon.signalCode !== null
    },
    stop,
    startFence: async () => {},
  }
}

const stateFile = (runtimeDir: string) => layout({ stateDir: '/', runtimeDir }).supervisorState

/** For an ordered stop, beside the time that it lets calls end. */
const STOP_MS = 60_000

/**
 * Ends the daemon of a runtime directory in order; does nothing where none runs.
 * @param drainMs how long calls under way may take
 */
export async function stopDaemon(runtimeDir: string, drainMs: number): Promise<void> {
  const state = await readState(stateFile(runtimeDir))
  if (!state) return
  const ended = async (withinMs: number) => {
    const end = Date.now() + withinMs
    while ((await processStart(state.pid)) === state.pidStart) {
      if (Date.now() > end) return false
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    return true
  }
  process.kill(state.pid, 'SIGTERM')
  if (await ended(drainMs)) return
  // The second one ends the waiting for calls.
  process.kill(state.pid, 'SIGTERM')
  if (!(await ended(STOP_MS))) process.kill(state.pid, 'SIGKILL')
}
