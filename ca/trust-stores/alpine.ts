/**
 * The store of Alpine: an update-ca-certificates of its own, which takes no options, links each anchor as
 * ca-cert-NAME.pem and takes dead links of its own away. A minimal Alpine has the bundle without the tool.
 */
import { type AnchorStore, anchorStore, type StoreOptions } from './anchor-store.ts'
import type { TrustStore } from './trust-store.ts'

const ANCHORS = 'usr/local/share/ca-certificates'

const alpine: AnchorStore = {
  name: 'alpine',
  required: ['etc/alpine-release', ANCHORS],
  anchors: ANCHORS,
  extension: 'crt',
  bundle: 'etc/ssl/certs/ca-certificates.crt',
  link: (name) => `etc/ssl/certs/ca-cert-${name}.pem`,
  tool: 'update-ca-certificates',
  args: () => [],
  getTool: 'apk add ca-certificates',
}

export const alpineTrustStore = (options?: StoreOptions): TrustStore => anchorStore(alpine, options)
