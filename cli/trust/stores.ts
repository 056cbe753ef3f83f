/** The stores of this machine in which a CA of ours stands: a rotation goes into these, and into no other. */
import { readFile } from 'node:fs/promises'
import { certificateBlocks } from '../../ca/system-roots.ts'
import type { TrustStore } from '../../ca/trust-stores/trust-store.ts'
import { openManifest } from '../../installers/manifest.ts'
import { machineTrustStores, storesOfOurs } from '../../installers/trust.ts'

/**
 * Those that the installer put it into, whatever their state, and those where it stands.
 * @param certificateFile `ca.crt`
 */
export async function storesWithOurs(certificateFile: string): Promise<TrustStore[]> {
  const { steps } = await openManifest()
  const installed = new Set(steps.flatMap((step) => (step.kind === 'trust-store' ? [step.name] : [])))
  const all = await machineTrustStores()
  const ours = await storesOfOurs(all, [...certificateBlocks(await readFile(certificateFile, 'utf8'))])
  return all.filter((store) => installed.has(store.name) || ours.includes(store))
}
