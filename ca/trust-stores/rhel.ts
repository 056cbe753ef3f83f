/**
 * The store of RHEL, Fedora and their kin: update-ca-trust(8), of which p11-kit makes the bundles below
 * /etc/pki/ca-trust/extracted. /etc/pki/tls/certs/ca-bundle.crt and the distribution's Java link there. The tool
 * writes all of it anew each time, and takes no other root than its own.
 */
import { type AnchorStore, anchorStore, type StoreOptions } from './anchor-store.ts'
import type { TrustStore } from './trust-store.ts'

const ANCHORS = 'etc/pki/ca-trust/source/anchors'

const rhel: AnchorStore = {
  name: 'rhel',
  required: [ANCHORS],
  anchors: ANCHORS,
  extension: 'pem',
  bundle: 'etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  tool: 'update-ca-trust',
  args: () => ['extract'],
  getTool: 'dnf install ca-certificates',
}

export const rhelTrustStore = (options?: StoreOptions): TrustStore => anchorStore(rhel, options)
