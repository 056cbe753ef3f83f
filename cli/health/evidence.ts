/** What it means for health how the evidence was that an earlier process left; pure. */
import type { Health } from '../../daemon/base/health.ts'
import type { SupervisorState } from '../../daemon/supervisor/state-file.ts'

export const evidenceHealth = ({ damagedEvidence }: SupervisorState): Health[] =>
  damagedEvidence === undefined
    ? []
    : [
        {
          code: 'daemon.evidence-damaged',
          severity: 'warning',
          title: `Evidence that an earlier gateway left was damaged and set aside as ${damagedEvidence}`,
          remedy: `Look at the disk, and at agent-anchor records --kind gap. Then remove ${damagedEvidence}.`,
        },
      ]
