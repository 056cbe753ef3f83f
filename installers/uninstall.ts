/**
 * Takes the gateway off this machine by its manifest: redirect off, variables, trust stores, units, files. Logs
 * and keys stay unless purged: they are evidence.
 */
import { messageOf } from '../daemon/base/errors.ts'
import { InstallError } from './install-error.ts'
import { MANIFEST_FILE, type ManifestEntry, openManifest } from './manifest.ts'
import { undo } from './undo.ts'

/** Services first, so that nothing runs on what is taken away next; accounts and program last. */
const ORDER: readonly ManifestEntry['kind'][] = [
  'unit',
  'detached',
  'fence',
  'environment',
  'trust-store',
  'link',
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

/**
 * @throws InstallError NOT_INSTALLED where there is no manifest. A step that fails stays in the manifest and
 * doesn't stop the others.
 */
export async function uninstall(options: { readonly purge: boolean }): Promise<UndoneStep[]> {
  const manifest = await openManifest()
  if (manifest.steps.length === 0) {
    throw new InstallError(
      'NOT_INSTALLED',
      `nothing is installed here (no steps in ${MANIFEST_FILE})`,
      'Nothing to do. A daemon started by hand is stopped with SIGTERM.',
    )
  }
  // Units in reverse of their start: the service before its fence.
  const steps = [...manifest.steps].reverse().sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind))
  const results: UndoneStep[] = []
  for (const step of steps) {
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
