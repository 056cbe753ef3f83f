/**
 * The store of SUSE and openSUSE: an update-ca-certificates(8) of their own, over p11-kit. Anchors of packages lie
 * in /usr/share/pki/trust, which is read-only on the immutable ones; the administrator's lie in /etc/pki/trust.
 */
import { type AnchorStore, anchorStore, type StoreOptions } from './anchor-store.ts'
import type { TrustStore } from './trust-store.ts'

const ANCHORS = 'etc/pki/trust/anchors'

const suse: AnchorStore = {
  name: 'suse',
  required: [ANCHORS],
  anchors: ANCHORS,
  extension: 'pem',
  bundle: 'var/lib/ca-certificates/ca-bundle.pem',
  tool: 'update-ca-certificates',
  // Without it the bundle is made anew only if it is older than a directory made in the same second.
  args: () => ['--fresh'],
  getTool: 'zypper install ca-certificates',
}

export const suseTrustStore = (options?: StoreOptions): TrustStore => anchorStore(suse, options)
