/** The inverse of each entry of the manifest; idempotent, and each independent of the others. */
import { readlink, rm, rmdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { removeFence } from '../firewall/fence.ts'
import { systemNft } from '../firewall/nft.ts'
import { removeAccount } from './accounts.ts'
import { removeCommandFile, removeMadeDirectory } from './command-files.ts'
import { environmentSink } from './environment.ts'
import { fateOf } from './fate.ts'
import type { ManifestEntry } from './manifest.ts'
import { run } from './run.ts'
import { stopDaemon } from './services/detached.ts'
import { removeUnit } from './services/find.ts'
import { trustStore } from './trust.ts'

/** For calls under way when the gateway goes. */
const LAST_CALLS_MS = 20_000

/** Undoes one step. @returns 'kept' where it holds evidence or the administrator's own work. */
export async function undo(step: ManifestEntry, purge: boolean): Promise<'undone' | 'kept'> {
  const fate = await fateOf(step, purge)
  switch (step.kind) {
    case 'detached':
      await stopDaemon(step.runtimeDir, LAST_CALLS_MS)
      return 'undone'
    case 'unit':
      await removeUnit(step)
      return 'undone'
    case 'fence':
      await removeFence(systemNft())
      return 'undone'
    case 'environment':
      await environmentSink(step.name).uninstall()
      return 'undone'
    case 'trust-store':
      await trustStore(step.name).uninstall()
      return 'undone'
    case 'link': {
      const target = await readlink(step.path).catch(() => undefined)
      if (target === step.target) await rm(step.path)
      return 'undone'
    }
    case 'command-file':
      await removeCommandFile(step)
      return 'undone'
    case 'directory':
      await removeMadeDirectory(step.path)
      return 'undone'
    case 'configuration':
      if (fate === 'stays') return 'kept'
      await rm(step.path, { force: true })
      // The administrator's policies, where nothing else is among them.
      await rmdir(dirname(step.path)).catch(() => {})
      return 'undone'
    case 'account':
      await removeAccount(step.name)
      return 'undone'
    case 'state':
      if (fate === 'goes') await rm(step.path, { recursive: true })
      if (fate !== 'stays') return 'undone'
      // The accounts go: a later account that gets their uid must not own the evidence.
      await run('chown', '--recursive', '--no-dereference', '0:0', step.path)
      return 'kept'
    case 'host-key':
      if (fate === 'stays') return 'kept'
      await rm(step.path, { force: true })
      return 'undone'
    case 'program':
      await rm(step.path, { recursive: true, force: true })
      return 'undone'
  }
}
