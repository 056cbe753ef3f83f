/**
 * The gateway's keys while it runs: what the log must hold of them is handed over, a rotation that was prepared comes
 * into force with a new recorder, and once its record is in the log the key that ended goes.
 */
import { messageOf } from '../base/errors.ts'
import type { GatewayKeys } from '../vault/gateway-keys.ts'
import { type Change, changeDetail } from '../vault/history.ts'
import type { AuditTrail } from './audit-trail.ts'
import type { Identity } from './identity.ts'
import type { Log } from './log.ts'

export interface KeyChanges {
  /** In force for a recorder that starts. */
  current(): GatewayKeys
  recorded(ids: readonly string[]): void
  /** Puts what was prepared since into force. The workers' fingerprint key waits for the next start of the gateway. */
  reload(): Promise<void>
}

export function keyChanges(options: {
  readonly identity: Pick<Identity, 'gateway' | 'reopen'>
  readonly trail: Pick<AuditTrail, 'write'>
  readonly log: Pick<Log, 'info' | 'error'>
  /** Starts the recorder anew. */
  readonly renew: () => void
}): KeyChanges {
  const { identity, trail, log, renew } = options
  let current = identity.gateway
  const told = new Set<string>()
  const tell = (change: Change) => {
    told.add(change.id)
    trail.write('key-rotated', changeDetail(change), change.id)
  }
  for (const change of current.changes) tell(change)
  // One after the other: each writes the same file.
  let settling: Promise<void> = Promise.resolve()

  return {
    current: () => current,
    recorded(ids) {
      for (const id of ids) {
        if (!told.delete(id)) continue
        settling = settling
          .then(() => current.settle(id))
          .catch((error: unknown) => void log.error(`a key was not rotated to its end: ${messageOf(error)}`))
      }
    },
    async reload() {
      const known = new Set(current.changes.map(({ id }) => id))
      try {
        await settling
        const next = await identity.reopen()
        const fresh = next.changes.filter(({ id, key }) => !known.has(id) && key !== 'fingerprint')
        if (fresh.length === 0) return
        current = next
        for (const change of fresh) {
          log.info(`a new ${change.key} key comes into force: ${change.to}`)
          tell(change)
        }
        renew()
      } catch (error) {
        log.error(`the keys could not be read again, and stay: ${messageOf(error)}`)
      }
    },
  }
}
