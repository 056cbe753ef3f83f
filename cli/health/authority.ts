/** What it means for health whom the CA may speak for; pure. */
import type { Health } from '../../daemon/base/health.ts'
import type { SupervisorState } from '../../daemon/supervisor/state-file.ts'

export function authorityHealth({ outgrown, caTooWide }: SupervisorState): Health[] {
  const found: Health[] = []
  if (outgrown.length > 0) {
    found.push({
      code: 'ca.outgrown',
      severity: 'error',
      title: `The CA may not speak for ${outgrown.join(', ')}: calls there fail`,
      remedy:
        'Catalogue or policy have grown since the install: run installers/install.sh again, it makes a CA that fits.',
    })
  }
  if (caTooWide) {
    found.push({
      code: 'ca.too-wide',
      severity: 'warning',
      title: 'The CA may speak for every site, which the policy no longer needs',
      remedy: 'Run installers/install.sh again: it makes a CA for the governed domains only.',
    })
  }
  return found
}
