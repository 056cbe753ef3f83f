/** Prepares a new key and, where the gateway runs, waits until it is in force and its record in the log. */

import { askToReload } from '../../daemon/supervisor/ask-to-reload.ts'
import { readHistory } from '../../daemon/vault/history.ts'
import type { KeyName } from '../../daemon/vault/key-kinds.ts'
import { stageRotation } from '../../daemon/vault/rotation.ts'
import type { KeysPlace } from './place.ts'

const ANSWER_MS = 60_000
const LOOK_MS = 100

export interface Rotated {
  readonly key: KeyName
  readonly from: string
  readonly to: string
  /** `prepared`: it comes into force at the next start of the gateway. */
  readonly state: 'in-force' | 'prepared' | 'no-answer'
}

/** @param secret the new key; a random one where absent @throws VaultError */
export async function rotate(keys: KeysPlace, name: KeyName, secret?: Buffer): Promise<Rotated> {
  const dir = keys.paths.keysDirectory
  const place = { vault: await keys.vault(), dir, origin: keys.origin }
  const change = await stageRotation(place, name, secret)
  const told = { key: name, from: change.from ?? '', to: change.to }
  // The workers have theirs from their start, so that the same credential keeps its fingerprint while they live.
  if (name === 'fingerprint' || !(await askToReload(keys.paths.supervisorState)))
    return { ...told, state: 'prepared' }
  const until = performance.now() + ANSWER_MS
  while (performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    const now = (await readHistory(dir)).find(({ id }) => id === change.id)
    if (now !== undefined && !now.pending) return { ...told, state: 'in-force' }
  }
  return { ...told, state: 'no-answer' }
}

export function rotatedText({ key, from, to, state }: Rotated): string {
  const lines = [`${key}: ${from}`, `  -> ${to}`]
  const said = {
    'in-force': 'in force; the record that both keys signed is in the log',
    prepared: 'prepared: it comes into force at the next start of the gateway',
    'no-answer': 'prepared, but the gateway did not take it up: see agent-anchor status, and its log',
  }
  lines.push(`  ${said[state]}`)
  if (key === 'gateway') {
    lines.push(
      `  The new account pays from now on: send it gas money. The old one stays the owner of the log.`,
    )
  }
  return lines.join('\n')
}
