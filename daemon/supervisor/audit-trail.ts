/**
 * The gateway's own acts on their way into the log. While the recorder is down they wait here, bounded; the
 * overflow is itself told.
 */
type Detail = Record<string, string | number | boolean>

export interface AuditTrail {
  write(event: string, detail: Detail): void
  /** Hands over what has waited, once the recorder listens again. */
  flush(): void
}

const MOST_WAITING = 1000

export function auditTrail(send: (message: object) => boolean): AuditTrail {
  const waiting: object[] = []
  let overflow = 0
  const flush = () => {
    while (waiting.length > 0 && send(waiting[0] as object)) waiting.shift()
    if (waiting.length === 0 && overflow > 0) {
      if (send({ type: 'audit', time: Date.now(), event: 'audit-overflow', detail: { lost: overflow } }))
        overflow = 0
    }
  }
  return {
    write(event, detail) {
      if (waiting.length < MOST_WAITING) waiting.push({ type: 'audit', time: Date.now(), event, detail })
      else overflow += 1
      flush()
    },
    flush,
  }
}
