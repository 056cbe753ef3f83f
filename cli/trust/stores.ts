/** The stores of this machine in which a CA of ours stands: a rotation goes into these, and into no other. */
import { readFile } from 'node:fs/promises'
import { certificateBlocks } from '../../ca/system-roots.ts'
import type { TrustStore } from '../../ca/trust-stores/trust-store.ts'
import { openManifest } from '../../installers/manifest.ts'
import { machineTrustStore, trustStore } from '../../installers/trust.ts'

/**
 * Those that the installer put it into, whatever their state; without an installation those where it stands.
 * @param certificateFile `ca.crt`
 */
export async function storesWithOurs(certificateFile: string): Promise<TrustStore[]> {
  const { steps } = await openManifest()
  const installed = steps.flatMap((step) => (step.kind === 'trust-store' ? [trustStore(step.name)] : []))
  if (installed.length > 0) return installed
  const certificates = [...certificateBlocks(await readFile(certificateFile, 'utf8'))]
  const store = machineTrustStore()
  const state = await store.check(certificates)
  return state === 'trusted' || state === 'stale' ? [store] : []
}
