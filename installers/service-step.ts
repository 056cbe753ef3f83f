/** The step that has the daemon running on what was installed, and the way back to the daemon before it. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../daemon/config/config.ts'
import { layout } from '../daemon/supervisor/layout.ts'
import { readState } from '../daemon/supervisor/state-file.ts'
import { InstallError } from './install-error.ts'
import type { OpenManifest } from './manifest.ts'
import { serviceManager } from './services/find.ts'

const START_MS = 90_000

export interface Service {
  /**
   * Starts the daemon, or restarts it where what it runs, or its unit, has changed.
   * @param changed the program: a daemon that runs is of the old one
   * @returns lines for the administrator
   */
  start(changed: boolean, signal: AbortSignal): Promise<readonly string[]>
  /** Has the daemon of before run again, from the tree and the units of before, where this one took its place. */
  putBack(): Promise<void>
}

export function service(manifest: OpenManifest, config: Config): Service {
  const { supervisorState } = layout(config)
  const manager = serviceManager(config)
  /** Whether one ran before this one took its place; undefined: it was not touched. */
  let ranBefore: boolean | undefined

  return {
    async start(changed, signal) {
      for (const unit of manager.units) await manifest.add({ kind: 'unit', ...unit })
      if (manager.name === 'none') await manifest.add({ kind: 'detached', runtimeDir: config.runtimeDir })
      const renewed = await manager.install(config)
      ranBefore = (await readState(supervisorState)) !== undefined
      const hasEnded = await manager.start(changed || renewed ? 'restart' : 'start')
      await untilRunning(config, hasEnded, signal)
      return manager.words
    },
    async putBack() {
      if (ranBefore === undefined) return
      if (!ranBefore) return manager.stop()
      await manager.start('restart')
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
