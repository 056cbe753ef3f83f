/** A certificate that the gateway's CA may not sign and its key can: what a thief of that key would show. */
import { type Credentials, issueBelow } from '../lab/internet/certificates.ts'
import { type FreshDebian, said } from './fresh-debian.ts'

/** The machine's CA, in the machine. */
export const CA = '/var/lib/agent-anchor/ca/ca.crt'

/** The installed program's own way to the key, as root. */
const PRINT_KEY = `
  import { loadConfig } from '/opt/agent-anchor/daemon/config/config.ts'
  import { layout } from '/opt/agent-anchor/daemon/supervisor/layout.ts'
  import { vaultPlace } from '/opt/agent-anchor/daemon/supervisor/vault-place.ts'
  import { openVault } from '/opt/agent-anchor/daemon/vault/open-vault.ts'
  import { openSealed } from '/opt/agent-anchor/daemon/vault/sealed-file.ts'
  const config = loadConfig()
  const paths = layout(config)
  const key = await openSealed(await openVault(vaultPlace(config, paths)), paths.caSealedKey, 'ca-key')
  process.stdout.write(key)
`

/** For `name`, which lies outside the constraints of the machine's CA. */
export async function forbiddenLeaf({ asRoot }: FreshDebian, name: string): Promise<Credentials> {
  const node = `/opt/agent-anchor/installers/runtime/node_modules/node-linux-${process.arch}/bin/node`
  const key = await asRoot(node, '--input-type=module', '--eval', PRINT_KEY)
  const certificate = await asRoot('cat', CA)
  for (const outcome of [key, certificate]) if (outcome.code !== 0) throw new Error(said(outcome))
  return issueBelow({ cert: certificate.stdout, key: key.stdout }, name)
}
