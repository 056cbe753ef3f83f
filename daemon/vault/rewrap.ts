/**
 * Moves every sealed key from one provider to another. At each instant each file opens under the one or the other,
 * whose wrapping keys both are there: a crash in the middle leaves a mix that opens, and a second run finishes it.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { alone } from './alone.ts'
import { openOrMake, openVault, type VaultPlace } from './open-vault.ts'
import { envelopeOf, openSealed, sealTo } from './sealed-file.ts'
import type { ProviderName } from './wrapping-key.ts'

export interface Rewrapped {
  readonly moved: readonly string[]
  /** Were sealed by it already. */
  readonly stayed: readonly string[]
  /** The new level, as `status` names it. */
  readonly description: string
}

/** @throws VaultError before the first file is touched, or in the middle: then run it again */
export const rewrap = (place: VaultPlace, to: ProviderName): Promise<Rewrapped> =>
  alone(place.keysDirectory, () => move(place, to))

async function move(place: VaultPlace, to: ProviderName): Promise<Rewrapped> {
  const { keysDirectory, ownership } = place
  // Whatever the configuration says by now: what sealed them opens them.
  const from = await openVault({ ...place, settings: { ...place.settings, provider: 'auto' } })
  const target = from.level === to ? from : await openOrMake(place, to)
  const moved: string[] = []
  const stayed: string[] = []
  const names = (await readdir(keysDirectory)).filter((name) => name.endsWith('.sealed')).sort()
  // The log's key last: its level is what the others are opened from after a crash.
  names.sort((a, b) => Number(a === 'log.sealed') - Number(b === 'log.sealed'))
  for (const name of names) {
    const file = join(keysDirectory, name)
    const envelope = await envelopeOf(file, ownership)
    if (envelope === undefined) continue
    if (envelope.vault === target.level) {
      stayed.push(name)
      continue
    }
    const secret = await openSealed(from, file, envelope.purpose, ownership)
    if (secret === undefined) continue
    await sealTo(target, file, envelope.purpose, secret, { replace: true })
    secret.fill(0)
    moved.push(name)
  }
  return { moved, stayed, description: target.description }
}
