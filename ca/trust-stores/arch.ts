/**
 * The store of Arch Linux and its kin: trust(1) of p11-kit makes /etc/ca-certificates/extracted, whither
 * /etc/ssl/certs/ca-certificates.crt and Java's keystore link. The tool writes all of it anew each time.
 */
import { type AnchorStore, anchorStore, type StoreOptions } from './anchor-store.ts'
import type { TrustStore } from './trust-store.ts'

const ANCHORS = 'etc/ca-certificates/trust-source/anchors'

const arch: AnchorStore = {
  name: 'arch',
  required: [ANCHORS],
  anchors: ANCHORS,
  extension: 'crt',
  bundle: 'etc/ca-certificates/extracted/tls-ca-bundle.pem',
  tool: 'trust',
  args: () => ['extract-compat'],
  getTool: 'pacman -S ca-certificates-utils',
}

export const archTrustStore = (options?: StoreOptions): TrustStore => anchorStore(arch, options)
