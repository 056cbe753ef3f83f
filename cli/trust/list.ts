/** `agent-anchor trust list`: every store and runtime of the machine, and whether it trusts the authority. */
import type { EnvironmentCheck } from '../../ca/environment-sinks/environment-sink.ts'
import { loadConfig } from '../../daemon/config/config.ts'
import { layout } from '../../daemon/supervisor/layout.ts'
import { environmentSinks } from '../../installers/environment.ts'
import { machineTrustStores } from '../../installers/trust.ts'
import { type GlobalOptions, print, printJson } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { printable, table } from '../terminal.ts'
import { findPrograms } from './programs.ts'
import { type RuntimeRow, runtimeRows } from './runtimes.ts'
import { certificatesToTrust, type StoreRow, storeRows } from './store-rows.ts'

export interface Listed {
  readonly stores: readonly StoreRow[]
  readonly runtimes: readonly RuntimeRow[]
  /** What couldn't be looked at with the rights that we have. */
  readonly unseen: readonly string[]
}

export async function listTrust(options: GlobalOptions): Promise<ExitCode> {
  const { caCertificate } = layout(loadConfig(options.config))
  const certificates = await certificatesToTrust(caCertificate)
  const [found, programs, environment] = await Promise.all([
    machineTrustStores(),
    findPrograms(),
    machineEnvironment(caCertificate),
  ])
  const stores = await storeRows(found, certificates)
  const unseen =
    process.getuid?.() === 0 ? [] : ["other users' databases and programs (run it as root to see them)"]
  const listed = { stores, runtimes: runtimeRows(programs, stores, environment), unseen }
  if (options.json) printJson(listed)
  else print(listedText(listed))
  return exitCode(listed)
}

/** What programs that start now get: /etc/environment, the first of the sinks, reaches the most. */
async function machineEnvironment(certificateFile: string): Promise<EnvironmentCheck | undefined> {
  try {
    return await environmentSinks(certificateFile)[0]?.check()
  } catch {
    return undefined
  }
}

/** Degraded for anything that doesn't trust; an error where the system's store doesn't, which most programs read. */
export function exitCode({ stores, runtimes }: Listed): ExitCode {
  if (stores.some(({ system, state }) => system && state !== 'trusted')) return ExitCode.error
  return [...stores, ...runtimes].every(({ state }) => state === 'trusted')
    ? ExitCode.healthy
    : ExitCode.degraded
}

export function listedText({ stores, runtimes, unseen }: Listed): string {
  const parts = [
    table([['store', 'state', 'where'], ...stores.map(({ store, state, where }) => [store, state, where])]),
    table([
      ['runtime', 'version', 'state', 'learns it from', 'program'],
      ...runtimes.map(({ runtime, version, state, learnsFrom, path }) => [
        runtime,
        version ?? '-',
        state,
        learnsFrom.join(' ') || '-',
        path,
      ]),
    ]),
    ...remedies({ stores, runtimes }),
    ...unseen.map((what) => `not seen: ${what}`),
  ]
  return parts.join('\n\n')
}

/** Each remedy once, below what it mends; why a store couldn't be looked at stands with it. */
function remedies({ stores, runtimes }: Omit<Listed, 'unseen'>): string[] {
  const by = new Map<string, string[]>()
  const wrong = [
    ...stores.map((row) => ({
      ...row,
      what: row.detail === undefined ? row.store : `${row.store}: ${row.detail}`,
    })),
    ...runtimes.map((row) => ({ ...row, what: row.path })),
  ]
  for (const { state, remedy, what } of wrong) {
    if (state !== 'trusted' && remedy !== undefined) by.set(remedy, [...(by.get(remedy) ?? []), what])
  }
  return [...by].map(([remedy, whats]) => `${printable(enumerated(whats))}\n  ${indented(remedy)}`)
}

const MOST_NAMED = 4

function enumerated(whats: readonly string[]): string {
  if (whats.length <= MOST_NAMED + 1) return whats.join(', ')
  return `${whats.slice(0, MOST_NAMED).join(', ')} and ${whats.length - MOST_NAMED} more`
}

/** NixOS's is a setting of several lines. */
const indented = (text: string) => text.split('\n').map(printable).join('\n  ')
