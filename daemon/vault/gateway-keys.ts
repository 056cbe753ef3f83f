/**
 * All that a start needs of the keys: those in force, those before them where they still serve, and what the log has
 * to be told of them.
 */
import type { Change } from './history.ts'
import { readHistory } from './history.ts'
import { type Keys, keysOf, loadOrCreateKeys } from './keys.ts'
import { beginRotations, formerKeys, type KeyPlace, nameFirstKey, settleRotation } from './rotation.ts'

export interface GatewayKeys {
  /** In force: of a rotation under way, the new one. */
  readonly keys: Keys
  /** The log key before: its seed while it signs beside. */
  readonly predecessor: { readonly verifierKey: string; readonly logKey?: Buffer | undefined } | undefined
  /** The body key in force, and behind it those before. */
  readonly bodyKeys: Buffer
  /** Of the account that owns the log on the chains, where that isn't the gateway's own. */
  readonly owner: Buffer | undefined
  /** What the log must hold; said again it changes nothing. */
  readonly changes: readonly Change[]
  /** To be called when the record of a change is in the log. */
  settle(id: string): Promise<void>
}

/** @param place its directory is made with fresh keys where there are none @throws VaultError */
export async function openGatewayKeys(place: KeyPlace): Promise<GatewayKeys> {
  const { vault, dir, ownership } = place
  const stored = await loadOrCreateKeys(vault, dir, ownership)
  await nameFirstKey(place, stored.log.privateKey)
  const current = {
    log: stored.log.privateKey,
    gateway: stored.gateway,
    body: stored.body,
    fingerprint: stored.fingerprint,
  }
  const begun = await beginRotations(place, current)
  const former = await formerKeys(place)
  const next = (name: keyof typeof current): Buffer => begun.get(name)?.secret ?? current[name]
  const changes = await readHistory(dir)
  const lastOfLog = changes.findLast(({ key }) => key === 'log')
  const bodies = begun.has('body') ? [current.body, ...former.bodies] : former.bodies
  return {
    keys: keysOf({
      log: next('log'),
      gateway: next('gateway'),
      body: next('body'),
      fingerprint: next('fingerprint'),
    }),
    predecessor:
      lastOfLog?.from === undefined
        ? undefined
        : { verifierKey: lastOfLog.from, logKey: begun.has('log') ? current.log : undefined },
    bodyKeys: Buffer.concat([next('body'), ...bodies]),
    owner: former.owner ?? (begun.has('gateway') ? current.gateway : undefined),
    changes,
    async settle(id) {
      const change = changes.find((each) => each.id === id && each.pending)
      if (change !== undefined) await settleRotation(place, change)
    },
  }
}
