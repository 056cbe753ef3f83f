/** `node vault-crasher.ts STEP WHAT BASE`: changes keys to the end; the preload ends it before its change number STEP. */
import type { KeyName } from '../../daemon/vault/key-kinds.ts'
import { rewrap } from '../../daemon/vault/rewrap.ts'
import { stageRotation } from '../../daemon/vault/rotation.ts'
import { open, placeIn, vaultIn } from './vault-fixture.ts'

const [, , , what, base = ''] = process.argv
if (what === 'rewrap') await rewrap(vaultIn(base), 'passphrase')
else {
  const place = await placeIn(base)
  const change = await stageRotation(place, what as KeyName)
  await (await open(place)).settle(change.id)
}
