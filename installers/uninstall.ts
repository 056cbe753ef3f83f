/**
 * Takes the gateway off this machine by its manifest: redirect off, variables, trust stores, units, files. Logs
 * and keys stay unless purged: they are evidence.
 */
import { messageOf } from '../daemon/base/errors.ts'
import { type Fate, fateOf } from './fate.ts'
import { InstallError } from './install-error.ts'
import { MANIFEST_FILE, type ManifestEntry, type OpenManifest, openManifest } from './manifest.ts'
import { undo } from './undo.ts'

/** Services first, so that nothing runs on what is taken away next; accounts and program last. */
const ORDER: readonly ManifestEntry['kind'][] = [
  'unit',
  'detached',
  'fence',
  'environment',
  'trust-store',
  'link',
  'command-file',
  'directory',
  'configuration',
  'state',
  'host-key',
  'account',
  'program',
]

export interface UndoneStep {
  readonly step: ManifestEntry
  readonly result: 'undone' | 'kept' | 'failed'
  readonly error?: string
}

/** What an uninstall would do, in its order. @throws InstallError NOT_INSTALLED, MANIFEST_DAMAGED */
export async function planUninstall(purge: boolean): Promise<{ step: ManifestEntry; fate: Fate }[]> {
  const steps = inOrder(await openInstalled())
  return Promise.all(steps.map(async (step) => ({ step, fate: await fateOf(step, purge) })))
}

/**
 * A step that fails stays in the manifest and doesn't stop the others.
 * @throws InstallError NOT_INSTALLED where there is no manifest, MANIFEST_DAMAGED
 */
export async function uninstall(options: { readonly purge: boolean }): Promise<UndoneStep[]> {
  const manifest = await openInstalled()
  const results: UndoneStep[] = []
  for (const step of inOrder(manifest)) {
    try {
      const result = await undo(step, options.purge)
      // What is kept stays listed, so that a later --purge finds it.
      if (result === 'undone') await manifest.drop(step)
      results.push({ step, result })
    } catch (error) {
      results.push({ step, result: 'failed', error: messageOf(error) })
    }
  }
  return results
}

async function openInstalled(): Promise<OpenManifest> {
  const manifest = await openManifest()
  if (manifest.steps.length > 0) return manifest
  throw new InstallError(
    'NOT_INSTALLED',
    `nothing is installed here (no steps in ${MANIFEST_FILE})`,
    'Nothing to do. A daemon started by hand is stopped with SIGTERM.',
  )
}

/** Units in reverse of their start, the service before its fence; directories before those they lie in. */
const inOrder = ({ steps }: OpenManifest): ManifestEntry[] =>
  [...steps].reverse().sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind))
