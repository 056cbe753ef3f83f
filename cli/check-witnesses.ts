/** Checks what there is of witnessing: the cosigned checkpoint, the witness key, what this gateway cosigned. Reads only. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { messageOf } from '../daemon/base/errors.ts'
import { cosigner } from '../daemon/ledger/cosignature.ts'
import { checkCosigned } from '../daemon/ledger/cosigned-file.ts'
import type { Damage } from '../daemon/ledger/damage.ts'
import { readHistory } from '../daemon/vault/history.ts'
import type { Vault } from '../daemon/vault/vault.ts'
import { readWitnessKey } from '../daemon/vault/witness-key.ts'
import { CosignedState } from '../daemon/witness/cosigned-state.ts'
import { knownLogs } from '../daemon/witness/witness.ts'
import type { Evidence } from './evidence.ts'

type Needed = Pick<Evidence, 'config' | 'paths' | 'verifierKey'>

/**
 * @param vault undefined where it can't be opened: the key then goes unchecked
 * @returns `file` of each Damage is relative to the state directory
 */
export async function* checkWitnesses(
  { config, paths, verifierKey }: Needed,
  vault: Vault | undefined,
): AsyncGenerator<Damage> {
  const { witness, witnesses } = config.ledger
  const inside = (directory: string, { file, what }: Damage): Damage => ({
    file: join(directory, file),
    what,
  })
  const keys = witnesses?.of.map(({ key }) => key) ?? []
  // A history that can't be read is told of elsewhere.
  const changes = await readHistory(paths.keysDirectory).catch(() => [])
  const logKeys = changes.filter(({ key }) => key === 'log').map(({ to }) => to)
  for (const damage of checkCosigned(paths.ledger, [verifierKey, ...logKeys], keys))
    yield inside('recorder/ledger', damage)
  if (existsSync(paths.witnessState)) {
    const state = new CosignedState(paths.witnessState)
    for (const damage of state.check(knownLogs(witness?.logs ?? []))) yield inside('witness', damage)
  }
  if (vault === undefined) return
  const what = await keyFault(vault, paths.witnessKey)
  if (what !== undefined) yield { file: `keys/${basename(paths.witnessKey)}`, what }
}

/** One key and one name have one spelling. */
async function keyFault(vault: Vault, path: string): Promise<string | undefined> {
  try {
    const seed = await readWitnessKey(vault, dirname(path))
    if (seed === undefined) return existsSync(path) ? 'witness.sealed is missing beside it' : undefined
    const text = await readFile(path, 'utf8')
    const { verifierKey } = cosigner(text.split('+')[0] ?? '', seed)
    seed.fill(0)
    return text === `${verifierKey}\n` ? undefined : 'it is not the verifier key of witness.sealed'
  } catch (error) {
    return messageOf(error)
  }
}
