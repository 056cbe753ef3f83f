/** Certificates that must not be believed, and a CA of the gateway's own that ends within seconds. */
import { generateKeyPairSync } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { issueLeaf } from '../../../ca/leaf.ts'
import { governedDomains } from '../../../daemon/supervisor/authority/misfit.ts'
import { type Authorities, openAuthorities } from '../../../daemon/supervisor/authority/store.ts'
import { authorityPlace, openIdentity } from '../../../daemon/supervisor/identity.ts'
import { loadRules } from '../../../daemon/supervisor/rules.ts'
import { openHostKeyVault } from '../../../daemon/vault/host-key.ts'
import { machineTrustStore } from '../../../installers/trust.ts'
import { BUNDLE } from '../../lab/trust.ts'
import type { World } from './world.ts'

/** The gateway's CA, made where there is none, as if it were `now`. */
async function authorities({ gateway }: World, now = new Date()): Promise<Authorities> {
  const { config, paths } = gateway
  const vault = await openHostKeyVault(config.vault.hostKeyFile)
  const permittedDomains = governedDomains(loadRules(config))
  const origin = (await readFile(paths.verifierKey, 'utf8')).split('+')[0] ?? ''
  return openAuthorities(authorityPlace(paths, vault, origin), { permittedDomains, now })
}

/** A certificate for a name by the gateway's own CA, which every client of the laboratory trusts. */
export async function leafOfOurs(world: World, name: string): Promise<{ cert: string; key: string }> {
  const [authority] = (await authorities(world)).inOrder
  if (authority === undefined) throw new Error('the gateway has no CA')
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
  world: World,
  leftMs: number,
  meanwhile: () => Promise<unknown>,
): Promise<number> {
  const { gateway } = world
  await gateway.stop()
  const { paths } = gateway
  const born = new Date(Date.now() + leftMs)
  born.setUTCFullYear(born.getUTCFullYear() - 10)
  for (const file of [paths.caCertificate, paths.caSealedKey]) await rm(file)
  await machineTrustStore().install(certificatesOf(await authorities(world, born)))
  await meanwhile()
  await gateway.start()
  // To the second, as certificates have it.
  return new Date(born).setUTCFullYear(born.getUTCFullYear() + 10)
}

const certificatesOf = ({ inOrder }: Authorities) => inOrder.map(({ certificatePem }) => certificatePem)

/** What a further install does about a CA that has run out. @returns whether it made a successor */
export async function installAgain({ gateway }: World): Promise<boolean> {
  await gateway.stop()
  const { config, paths } = gateway
  const identity = await openIdentity(config, paths, loadRules(config), { renew: true })
  await machineTrustStore().install(certificatesOf(identity.authority.found))
  await identity.authority.distributed()
  await gateway.start()
  return identity.authority.found.rotation !== undefined
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
