/**
 * An installation as an ordered list of steps. When one fails, or the administrator interrupts it, those that were
 * begun are taken back in reverse, so that the machine is again what it was: without a gateway, or with the one that
 * ran before.
 */
import { messageOf } from '../daemon/base/errors.ts'
import { InstallError } from './install-error.ts'
import type { ManifestEntry, OpenManifest } from './manifest.ts'

export interface Step {
  readonly name: string
  /** Records in the manifest whatever it adds to the machine, before adding it. Idempotent. */
  do(): Promise<void>
  /** Puts back what `do` changed of an earlier installation. What is new goes by its manifest entry, before this. */
  undo?(): Promise<void>
}

export interface TakenBack {
  /** A step of an earlier installation that was put back, or the entry that is gone. */
  readonly what: Step['name'] | ManifestEntry
  readonly error?: string
}

/**
 * Takes the steps in order.
 * @param options.undo takes one entry of the manifest back
 * @param options.signal ends it before the next step
 * @param options.onRollback hears what failed, before anything is taken back
 * @returns undefined where all were taken, else what was taken back
 */
export async function takeSteps(
  steps: readonly Step[],
  options: {
    readonly manifest: OpenManifest
    readonly undo: (entry: ManifestEntry) => Promise<unknown>
    readonly signal: AbortSignal
    readonly onRollback: (step: Step, error: unknown) => void
  },
): Promise<readonly TakenBack[] | undefined> {
  const { manifest, signal } = options
  const begun: { readonly step: Step; readonly before: readonly ManifestEntry[] }[] = []
  for (const step of steps) {
    begun.push({ step, before: [...manifest.steps] })
    try {
      if (signal.aborted) throw interrupted()
      await step.do()
      if (signal.aborted) throw interrupted()
    } catch (error) {
      options.onRollback(step, signal.aborted ? interrupted() : error)
      return takeBack(begun, options)
    }
  }
  return undefined
}

async function takeBack(
  begun: readonly { readonly step: Step; readonly before: readonly ManifestEntry[] }[],
  { manifest, undo }: Pick<Parameters<typeof takeSteps>[1], 'manifest' | 'undo'>,
): Promise<TakenBack[]> {
  const results: TakenBack[] = []
  // One that can't be taken back doesn't keep the others, and stays in the manifest for `uninstall`.
  const attempt = async (what: TakenBack['what'], act: () => Promise<unknown>) => {
    const error = await act().then(
      () => undefined,
      (thrown: unknown) => messageOf(thrown),
    )
    results.push(error === undefined ? { what } : { what, error })
  }
  for (const { step, before } of [...begun].reverse()) {
    for (const entry of manifest.added(before).reverse()) {
      await attempt(entry, async () => {
        await undo(entry)
        await manifest.drop(entry)
      })
    }
    if (step.undo) await attempt(step.name, () => step.undo!())
  }
  return results
}

function interrupted(): InstallError {
  return new InstallError('INTERRUPTED', 'interrupted', 'Run installers/install.sh again when it suits.')
}
