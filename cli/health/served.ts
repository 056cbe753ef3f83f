/** What it means for health how the log is served, and how its witnesses answer; pure. */
import type { Health } from '../../daemon/base/health.ts'
import type { SupervisorState } from '../../daemon/supervisor/state-file.ts'

export function servedHealth(served: SupervisorState['served']): Health[] {
  return served.flatMap(({ name, listen, why }) =>
    why === undefined
      ? []
      : [
          {
            code: `${name}.not-listening`,
            severity: 'warning' as const,
            title: `The ${name} does not listen on ${listen}: ${why}`,
            remedy:
              'Free the port, or set another address in gateway.yaml. It is tried again every two seconds; recording goes on.',
          },
        ],
  )
}

export function witnessHealth(cosigning: SupervisorState['cosigning']): Health[] {
  if (cosigning === undefined) return []
  const { atLeast, witnesses } = cosigning
  const silent = witnesses.filter(({ error }) => error !== undefined)
  const alarmed = witnesses.filter(({ alarm }) => alarm)
  const said = (list: typeof witnesses) => list.map(({ name, error }) => `${name}: ${error}`).join('; ')
  const found: Health[] = []
  if (alarmed.length > 0) {
    found.push({
      code: 'witness.contradiction',
      severity: 'error',
      title: `A witness holds another history of this log (${said(alarmed)})`,
      remedy:
        'Keep the ledger as it is and find out: it was put back from a copy, its key signs elsewhere, or the witness is wrong.',
    })
  }
  if (witnesses.length - silent.length < atLeast) {
    found.push({
      code: 'witness.too-few',
      severity: 'warning',
      title: `New checkpoints are not cosigned by ${atLeast} of ${witnesses.length} witnesses (${said(silent)})`,
      remedy:
        'They are asked again by themselves; recording and anchoring go on. Ask who runs them if it stays.',
    })
  }
  return found
}
