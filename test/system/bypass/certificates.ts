/** Certificates that must not be believed, and a CA of the gateway's own that ends within seconds. */
import { generateKeyPairSync } from 'node:crypto'
import { issueLeaf } from '../../../ca/authority.ts'
import { makeAuthority, openAuthority } from '../../../daemon/supervisor/authority-store.ts'
import { openIdentity } from '../../../daemon/supervisor/identity.ts'
import { loadRules } from '../../../daemon/supervisor/rules.ts'
import { openHostKeyVault } from '../../../daemon/vault/host-key.ts'
import { machineTrustStore } from '../../../installers/trust.ts'
import { permittedDomains } from '../../../policies/catalogue.ts'
import { BUNDLE } from '../../lab/trust.ts'
import type { World } from './world.ts'

/** A certificate for a name by the gateway's own CA, which every client of the laboratory trusts. */
export async function leafOfOurs({ gateway }: World, name: string): Promise<{ cert: string; key: string }> {
  const vault = await openHostKeyVault(gateway.config.vault.hostKeyFile)
  const authority = await openAuthority(gateway.paths, vault, [], new Date())
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const publicKeySpki = publicKey.export({ type: 'spki', format: 'der' })
  const cert = await issueLeaf(authority, { name, publicKeySpki, now: new Date() })
  return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
}

/**
 * Starts the gateway again with a CA that is ten years old, less so many milliseconds.
 * @param meanwhile what is done while none runs
 * @returns when it ends
 */
export async function restartWithOldAuthority(
  { gateway }: World,
  leftMs: number,
  meanwhile: () => Promise<unknown>,
): Promise<number> {
  await gateway.stop()
  const { config, paths } = gateway
  const born = new Date(Date.now() + leftMs)
  born.setUTCFullYear(born.getUTCFullYear() - 10)
  const vault = await openHostKeyVault(config.vault.hostKeyFile)
  const domains = permittedDomains(loadRules(config).catalogue)
  const { certificatePem } = await makeAuthority(paths, vault, domains, born)
  await machineTrustStore().install([certificatePem])
  await meanwhile()
  await gateway.start()
  // To the second, as certificates have it.
  return new Date(born).setUTCFullYear(born.getUTCFullYear() + 10)
}

/** What a further install does about a CA that has run out. @returns whether it made a new one */
export async function installAgain({ gateway }: World): Promise<boolean> {
  await gateway.stop()
  const { config, paths } = gateway
  const identity = await openIdentity(config, paths, loadRules(config), { renewAuthority: true })
  await machineTrustStore().install([identity.authority.certificatePem])
  await gateway.start()
  return identity.renewed
}

/** A call by a client that verifies strictly and takes it to be so many seconds later than it is. */
export function callAt(seconds: number, address: string, name: string, target: string): string[] {
  const request = ['GET %s HTTP/1.1', 'Host: %s', 'Authorization: Bearer sk-lab', 'Connection: close', '', '']
  const client = [
    ...[
      'openssl',
      's_client',
      '-quiet',
      '-verify_return_error',
      '-verify_hostname',
      '"$2"',
      '-CAfile',
      BUNDLE,
    ],
    ...['-servername', '"$2"', '-attime', '"$4"', '-connect', '"$3:443"'],
  ]
  const script = `printf '${request.join('\\r\\n')}' "$1" "$2" | timeout 10 ${client.join(' ')}`
  const now = Math.round(Date.now() / 1000)
  const where = address.includes(':') ? `[${address}]` : address
  return ['/bin/sh', '-c', script, 'sh', target, name, where, String(now + seconds)]
}

/** Serial number and end of the certificate that is shown there. */
export function shownCertificate(address: string, name: string): string[] {
  const shown = `openssl s_client -connect '${address}:443' -servername '${name}' </dev/null 2>/dev/null`
  return ['/bin/sh', '-c', `${shown} | openssl x509 -noout -serial -enddate`]
}
