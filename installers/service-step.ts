/** The step that has the daemon running on what was installed, and the way back to the daemon before it. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../daemon/config/config.ts'
import { layout } from '../daemon/supervisor/layout.ts'
import { systemdRuns } from '../daemon/supervisor/service-manager.ts'
import { readState } from '../daemon/supervisor/state-file.ts'
import { InstallError } from './install-error.ts'
import type { OpenManifest } from './manifest.ts'
import {
  enableUnits,
  installUnit,
  reloadUnits,
  startDetached,
  startService,
  stopDaemon,
  stopService,
  UNITS,
  unitPath,
} from './services.ts'

const START_MS = 90_000

export interface Service {
  /**
   * Starts the daemon, or restarts it where what it runs, or its unit, has changed.
   * @param changed the program: a daemon that runs is of the old one
   * @returns lines for the administrator
   */
  start(changed: boolean, signal: AbortSignal): Promise<string[]>
  /** Has the daemon of before run again, from the tree and the units of before, where this one took its place. */
  putBack(): Promise<void>
}

export function service(manifest: OpenManifest, config: Config): Service {
  const { supervisorState } = layout(config)
  /** Whether one ran before this one took its place; undefined: it was not touched. */
  let ranBefore: boolean | undefined

  async function underSystemd(changed: boolean): Promise<string[]> {
    let renew = changed
    for (const name of UNITS) {
      await manifest.add({ kind: 'unit', name, path: unitPath(name) })
      renew = (await installUnit(name, config)) || renew
    }
    await reloadUnits()
    await enableUnits()
    ranBefore = (await readState(supervisorState)) !== undefined
    await startService(renew ? 'restart' : 'start')
    return ['agent-anchor.service; the fence is loaded before the network at boot']
  }

  return {
    async start(changed, signal) {
      let hasEnded = () => false
      let lines: string[]
      if (systemdRuns()) lines = await underSystemd(changed)
      else {
        await manifest.add({ kind: 'detached', runtimeDir: config.runtimeDir })
        ranBefore = (await readState(supervisorState)) !== undefined
        if (ranBefore && changed) await stopDaemon(supervisorState)
        if (!ranBefore || changed) hasEnded = startDetached()
        lines = [
          'no systemd here: started detached. It WILL NOT survive a reboot; start it then with',
          '`agent-anchor daemon`, from whatever starts services on this machine.',
        ]
      }
      await untilRunning(config, hasEnded, signal)
      return lines
    },
    async putBack() {
      if (ranBefore === undefined) return
      if (!systemdRuns()) await stopDaemon(supervisorState)
      else if (!ranBefore) await stopService()
      if (!ranBefore) return
      if (systemdRuns()) await startService('restart')
      else startDetached()
      await untilRunning(config, () => false)
    },
  }
}

async function untilRunning(config: Config, hasEnded: () => boolean, signal?: AbortSignal): Promise<void> {
  const end = Date.now() + START_MS
  while ((await readState(layout(config).supervisorState))?.phase !== 'running') {
    if (signal?.aborted) return
    if (Date.now() > end || hasEnded()) {
      throw new InstallError(
        'DAEMON_DID_NOT_START',
        hasEnded()
          ? 'the daemon ended as it started'
          : `the daemon was not ready within ${START_MS / 1000} s`,
        `Read ${config.logDir}/agent-anchor.log, mend what it says and run the installer again.`,
      )
    }
    await sleep(100)
  }
}
