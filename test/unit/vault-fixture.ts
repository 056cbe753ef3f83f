/** Keys in a temporary directory, for the vault's tests. */
import { join } from 'node:path'
import { type GatewayKeys, openGatewayKeys } from '../../daemon/vault/gateway-keys.ts'
import { hostKeyVault } from '../../daemon/vault/host-key.ts'
import { keyId } from '../../daemon/vault/key-kinds.ts'
import type { VaultPlace } from '../../daemon/vault/open-vault.ts'
import type { KeyPlace } from '../../daemon/vault/rotation.ts'
import { secretSource } from '../../daemon/vault/secret-source.ts'
import { publishVerifierKey } from '../../daemon/vault/verifier-key.ts'

export const origin = 'log.example/one'
export const ownership = { owner: process.getuid?.() ?? 0 }
export const secrets = secretSource({ prompt: async () => Buffer.from('six random words would do nicely') })

export const placeIn = async (base: string): Promise<KeyPlace> => ({
  vault: await hostKeyVault(join(base, 'host.key'), ownership),
  dir: join(base, 'keys'),
  origin,
  ownership,
})

export const vaultIn = (base: string): VaultPlace => ({
  settings: { provider: 'auto', hostKeyFile: join(base, 'host.key') },
  keysDirectory: join(base, 'keys'),
  secrets,
  ownership,
})

/** As the supervisor opens them. */
export async function open(place: KeyPlace): Promise<GatewayKeys> {
  const keys = await openGatewayKeys(place)
  const current = await keyId('log', keys.keys.log.privateKey, origin)
  await publishVerifierKey(place.dir, keys.predecessor?.logKey ? keys.predecessor.verifierKey : current)
  return keys
}
