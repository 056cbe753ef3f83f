/** The stores of this machine in which a CA of ours stands: a rotation goes into these, and into no other. */
import { readFile } from 'node:fs/promises'
import { certificateBlocks } from '../../ca/system-roots.ts'
import type { TrustStore } from '../../ca/trust-stores/trust-store.ts'
import { machineTrustStore } from '../../installers/trust.ts'

/** @param certificateFile `ca.crt` */
export async function storesWithOurs(certificateFile: string): Promise<TrustStore[]> {
  const certificates = [...certificateBlocks(await readFile(certificateFile, 'utf8'))]
  const store = machineTrustStore()
  const state = await store.check(certificates)
  return state === 'trusted' || state === 'stale' ? [store] : []
}
