/** The gateway as a service: units where systemd runs, else a detached process. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { childEnvironment, programRoot } from '../daemon/supervisor/program.ts'
import { processStart, readState } from '../daemon/supervisor/state-file.ts'
import { run, succeeds } from './run.ts'

export const UNITS = ['agent-anchor-fence.service', 'agent-anchor.service'] as const
const UNIT_DIRECTORY = '/etc/systemd/system'

export const unitPath = (name: string): string => `${UNIT_DIRECTORY}/${name}`

/** sd_booted(3): systemd is PID 1 exactly where this directory is. */
export const systemdRuns = (): boolean => existsSync('/run/systemd/system')

/** Writes a unit from its template; says whether it changed. */
export async function installUnit(name: string, stateDir: string): Promise<boolean> {
  const template = await readFile(`${programRoot}/installers/systemd/${name}`, 'utf8')
  const nft = (await run('sh', '-c', 'command -v nft')).trim()
  const text = template
    .replaceAll('@STATE_DIR@', stateDir)
    .replaceAll('@NFT@', nft)
    .replaceAll('@PROGRAM@', `${programRoot}/cli/agent-anchor`)
  const before = await readFile(unitPath(name), 'utf8').catch(() => undefined)
  if (before === text) return false
  await writeFile(unitPath(name), text, { mode: 0o644 })
  return true
}

export async function removeUnit(name: string): Promise<void> {
  if (systemdRuns()) await succeeds('systemctl', 'disable', '--now', name)
  await rm(unitPath(name), { force: true })
  if (systemdRuns()) await succeeds('systemctl', 'daemon-reload')
}

/** Starts the daemon apart from this terminal; it won't survive a reboot. */
export function startDetached(): void {
  spawn(`${programRoot}/cli/agent-anchor`, ['daemon'], {
    detached: true,
    stdio: 'ignore',
    cwd: '/',
    env: childEnvironment,
  }).unref()
}

const STOP_MS = 60_000

/** Ends the daemon of a runtime directory in order; does nothing where none runs. */
export async function stopDaemon(stateFile: string): Promise<void> {
  const state = await readState(stateFile)
  if (!state) return
  process.kill(state.pid, 'SIGTERM')
  const end = Date.now() + STOP_MS
  while ((await processStart(state.pid)) === state.pidStart) {
    if (Date.now() > end) {
      process.kill(state.pid, 'SIGKILL')
      return
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
