/** Which operating system's store is this machine's: by os-release(5), and by what is there where that says nothing known. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { alpineTrustStore } from '../ca/trust-stores/alpine.ts'
import type { StoreOptions } from '../ca/trust-stores/anchor-store.ts'
import { archTrustStore } from '../ca/trust-stores/arch.ts'
import { debianTrustStore } from '../ca/trust-stores/debian.ts'
import { macosTrustStore } from '../ca/trust-stores/macos.ts'
import { nixosTrustStore } from '../ca/trust-stores/nixos.ts'
import { rhelTrustStore } from '../ca/trust-stores/rhel.ts'
import { suseTrustStore } from '../ca/trust-stores/suse.ts'
import type { TrustStore } from '../ca/trust-stores/trust-store.ts'

interface Family {
  readonly store: (options: StoreOptions) => TrustStore
  /** ID or ID_LIKE of os-release(5). */
  readonly ids: readonly string[]
}

const FAMILIES: readonly Family[] = [
  { store: debianTrustStore, ids: ['debian', 'ubuntu'] },
  { store: rhelTrustStore, ids: ['rhel', 'fedora', 'centos', 'amzn', 'azurelinux', 'mariner'] },
  { store: archTrustStore, ids: ['arch'] },
  { store: suseTrustStore, ids: ['suse', 'opensuse', 'sles'] },
  { store: alpineTrustStore, ids: ['alpine'] },
  { store: nixosTrustStore, ids: ['nixos'] },
]

/** Undefined where the system is of no family that is known. */
export function systemTrustStore(
  options: StoreOptions = {},
  platform = process.platform,
): TrustStore | undefined {
  if (platform === 'darwin') return macosTrustStore(options)
  const ids = osIds(options.root ?? '/')
  const family = FAMILIES.find((each) => each.ids.some((id) => ids.has(id)))
  return family?.store(options)
}

/** How the system names itself and what it says it is like. */
function osIds(root: string): Set<string> {
  for (const path of ['etc/os-release', 'usr/lib/os-release']) {
    try {
      const text = readFileSync(join(root, path), 'utf8')
      const values = [...text.matchAll(/^(?:ID|ID_LIKE)=["']?([^"'\n]*)["']?$/gm)]
      return new Set(values.flatMap(([, value]) => value!.split(/\s+/)))
    } catch {
      // The next place: os-release(5) names both.
    }
  }
  return new Set()
}
