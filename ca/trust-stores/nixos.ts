/**
 * NixOS makes its bundle from the system's configuration and lets nobody else change it: this store says which
 * setting it takes, and sees whether it was made.
 */
import { join } from 'node:path'
import { CaError } from '../ca-error.ts'
import type { StoreOptions } from './anchor-store.ts'
import { authorities, base64Of, oursIn } from './authorities.ts'
import { exists, readText } from './files.ts'
import type { TrustStore } from './trust-store.ts'

const MARK = 'etc/NIXOS'
const BUNDLE = 'etc/ssl/certs/ca-certificates.crt'

export function nixosTrustStore({ root = '/' }: StoreOptions = {}): TrustStore {
  const ours = async () => oursIn((await readText(join(root, BUNDLE))) ?? '')

  const check: TrustStore['check'] = async (certificates) => {
    if (!(await exists(join(root, MARK)))) return 'unsupported'
    const wanted = authorities(certificates)
    const bundled = await ours()
    if (bundled.size === 0) return 'absent'
    return bundled.size === wanted.length && wanted.every((pem) => bundled.has(base64Of(pem)))
      ? 'trusted'
      : 'stale'
  }

  return {
    name: 'nixos',
    where: `/${BUNDLE}`,
    system: true,
    check,
    async install(certificates) {
      if ((await check(certificates)) === 'trusted') return
      const list = authorities(certificates).map((pem) => `''\n${pem}''`)
      throw readOnly(
        'and does not trust the gateway',
        `Add this to the configuration, run nixos-rebuild switch, and run this again:\nsecurity.pki.certificates = [ ${list.join(' ')} ];`,
      )
    },
    async uninstall() {
      if ((await ours()).size === 0) return
      throw readOnly(
        'and still trusts the gateway',
        "Take the gateway's certificate out of security.pki.certificates, run nixos-rebuild switch, and run this again.",
      )
    },
  }
}

function readOnly(what: string, remedy: string): CaError {
  return new CaError('trust-store-read-only', `/${BUNDLE} is made from NixOS's configuration ${what}`, remedy)
}
