/** The machine's trust stores, each with the state that it has for the authority in use. */
import { readFile } from 'node:fs/promises'
import { certificateBlocks } from '../../ca/system-roots.ts'
import type { TrustState, TrustStore } from '../../ca/trust-stores/trust-store.ts'
import { AnchorError, messageOf } from '../../daemon/base/errors.ts'
import { NoAuthority } from '../cli-error.ts'

export interface StoreRow {
  readonly store: string
  readonly where: string
  readonly system: boolean
  /** `unknown`: it couldn't be looked at. */
  readonly state: TrustState | 'unknown'
  readonly detail?: string
  readonly remedy?: string
}

const INSTALL = 'Run: sudo agent-anchor trust install'

/**
 * What is to be trusted: one, or two while the authority is changed for another.
 * @throws CliError NO_AUTHORITY
 */
export async function certificatesToTrust(file: string): Promise<string[]> {
  const certificates = [...certificateBlocks(await readFile(file, 'utf8').catch(() => ''))]
  if (certificates.length === 0) throw new NoAuthority(file)
  return certificates
}

export async function storeRows(
  stores: readonly TrustStore[],
  certificates: readonly string[],
): Promise<StoreRow[]> {
  return await Promise.all(
    stores.map(async (store) => {
      const { name, where, system } = store
      try {
        const state = await store.check(certificates)
        const remedy = state === 'trusted' ? {} : { remedy: INSTALL }
        return { store: name, where, system, state, ...remedy }
      } catch (error) {
        const remedy = error instanceof AnchorError ? { remedy: error.remedy } : {}
        return { store: name, where, system, state: 'unknown' as const, detail: messageOf(error), ...remedy }
      }
    }),
  )
}
