/**
 * Puts the authority into every trust store of the machine, each in the manifest before it is touched. The operating
 * system's store decides: without it nothing else would do. The others are the user's browsers and vendors' JDKs: one
 * that can't be changed is told, and keeps nothing from being installed.
 */

import type { TrustStore } from '../ca/trust-stores/trust-store.ts'
import { AnchorError, messageOf } from '../daemon/base/errors.ts'
import type { OpenManifest } from './manifest.ts'

export interface TrustOutcome {
  readonly store: TrustStore
  /** `kept`: it trusted exactly these before. */
  readonly result: 'installed' | 'kept' | 'failed'
  readonly error?: string
  readonly remedy?: string
}

/** @throws what the operating system's store throws */
export async function trustEverywhere(
  stores: readonly TrustStore[],
  certificates: readonly string[],
  manifest: Pick<OpenManifest, 'add'>,
): Promise<TrustOutcome[]> {
  const outcomes: TrustOutcome[] = []
  for (const store of stores) {
    try {
      await manifest.add({ kind: 'trust-store', name: store.name })
      const kept = (await store.check(certificates)) === 'trusted'
      if (!kept) await store.install(certificates)
      outcomes.push({ store, result: kept ? 'kept' : 'installed' })
    } catch (error) {
      if (store.system) throw error
      const remedy = error instanceof AnchorError ? { remedy: error.remedy } : {}
      outcomes.push({ store, result: 'failed', error: messageOf(error), ...remedy })
    }
  }
  return outcomes
}

/** For the installer's screen: what was done where, and what wasn't, with its remedy. */
export function outcomeLines({ store, result, error, remedy }: TrustOutcome): string[] {
  if (result !== 'failed') return [`${store.name}: ${store.where}`]
  return [
    `${store.name} does NOT trust the gateway: ${error}`,
    ...(remedy === undefined ? [] : [`  ${remedy}`]),
  ]
}
