/** The gateway as a service: units where systemd runs, else a detached process. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import type { Config } from '../daemon/config/config.ts'
import { layout } from '../daemon/supervisor/layout.ts'
import { childEnvironment, programRoot } from '../daemon/supervisor/program.ts'
import { systemdRuns } from '../daemon/supervisor/service-manager.ts'
import { processStart, readState } from '../daemon/supervisor/state-file.ts'
import { CREDENTIAL } from '../daemon/vault/systemd-creds.ts'
import { wrappingFile } from '../daemon/vault/wrapping-key.ts'
import { InstallError } from './install-error.ts'
import { run, succeeds } from './run.ts'

const FENCE_UNIT = 'agent-anchor-fence.service'
const DAEMON_UNIT = 'agent-anchor.service'
export const UNITS = [FENCE_UNIT, DAEMON_UNIT] as const
const UNIT_DIRECTORY = '/etc/systemd/system'

export const unitPath = (name: string): string => `${UNIT_DIRECTORY}/${name}`

/** Writes a unit from its template; says whether it changed. */
export async function installUnit(
  name: string,
  { stateDir, runtimeDir, logDir }: Pick<Config, 'stateDir' | 'runtimeDir' | 'logDir'>,
): Promise<boolean> {
  const template = await readFile(`${programRoot}/installers/systemd/${name}`, 'utf8')
  const nft = (await run('sh', '-c', 'command -v nft')).trim()
  const text = template
    .replaceAll('@STATE_DIR@', stateDir)
    .replaceAll('@RUNTIME_DIR@', runtimeDir)
    .replaceAll('@LOG_DIR@', logDir)
    .replaceAll('@NFT@', nft)
    .replaceAll('@PROGRAM@', `${programRoot}/cli/agent-anchor`)
    .replace('@CREDENTIALS@\n', credentialLine({ stateDir, runtimeDir }))
  const before = await readFile(unitPath(name), 'utf8').catch(() => undefined)
  if (before === text) return false
  await writeFile(unitPath(name), text, { mode: 0o644 })
  return true
}

/** systemd opens the vault's credential for the unit, which has no way to the TPM itself; an absent file would end it. */
function credentialLine(directories: Pick<Config, 'stateDir' | 'runtimeDir'>): string {
  const file = wrappingFile(layout(directories).keysDirectory, 'systemd-creds')
  return existsSync(file) ? `LoadCredentialEncrypted=${CREDENTIAL}:${file}\n` : ''
}

/** Writes the daemon's unit anew where it is installed, after what it hands to the daemon has changed. */
export async function renewUnit(directories: Parameters<typeof installUnit>[1]): Promise<boolean> {
  if (!systemdRuns() || !existsSync(unitPath(DAEMON_UNIT))) return false
  if (await installUnit(DAEMON_UNIT, directories)) await reloadUnits()
  return true
}

/** systemd reads its unit files again. */
export const reloadUnits = (): Promise<string> => run('systemctl', 'daemon-reload')

export const enableUnits = (): Promise<string> => run('systemctl', 'enable', '--quiet', ...UNITS)

/**
 * Starts the daemon's unit, or restarts it; resolves when the daemon has said that it is ready.
 * @throws InstallError DAEMON_DID_NOT_START with the daemon's own last words
 */
export async function startService(how: 'start' | 'restart'): Promise<void> {
  if (await succeeds('systemctl', how, DAEMON_UNIT)) return
  // Only what the daemon itself said, not what systemd says about it.
  const own = ['--quiet', '--boot', '--output=cat', '--lines=10', `_SYSTEMD_UNIT=${DAEMON_UNIT}`]
  const words = (await run('journalctl', ...own).catch(() => '')).trim()
  throw new InstallError(
    'DAEMON_DID_NOT_START',
    `${DAEMON_UNIT} did not start${words === '' ? '' : `:\n${words}`}`,
    `Mend what it says and run the installer again; more of it: journalctl --unit ${DAEMON_UNIT}`,
  )
}

export const stopService = (): Promise<boolean> => succeeds('systemctl', 'stop', DAEMON_UNIT)

/** The fence's unit counts as started too, for those who look: the daemon has raised what it would load. */
export const startFenceUnit = (): Promise<string> => run('systemctl', 'start', FENCE_UNIT)

export async function removeUnit(name: string): Promise<void> {
  if (systemdRuns()) await succeeds('systemctl', 'disable', '--now', name)
  await rm(unitPath(name), { force: true })
  if (!systemdRuns()) return
  await succeeds('systemctl', 'daemon-reload')
  // A unit that failed is remembered after its file is gone.
  await succeeds('systemctl', 'reset-failed', name)
}

/** Starts the daemon apart from this terminal; it won't survive a reboot. @returns whether it has ended already */
export function startDetached(): () => boolean {
  const daemon = spawn(`${programRoot}/cli/agent-anchor`, ['daemon'], {
    detached: true,
    stdio: 'ignore',
    cwd: '/',
    env: childEnvironment,
  })
  daemon.unref()
  return () => daemon.exitCode !== null || daemon.signalCode !== null
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
