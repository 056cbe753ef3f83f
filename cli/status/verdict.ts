/** The status in one line: whether what the gateway promises holds now; pure. */
import type { Health } from '../../daemon/base/health.ts'
import type { LiveState } from '../live-state.ts'

export const VERDICTS = [
  'holds',
  'warnings',
  'errors',
  'starting',
  'stopping',
  'not-running',
  'unknown',
] as const
export type Verdict = (typeof VERDICTS)[number]

/** A note (`info`) doesn't count: nothing needs to be done about it. */
export function verdictOf({ running, supervisor, health }: LiveState): Verdict {
  if (supervisor === undefined) return running === 'no' ? 'not-running' : 'unknown'
  if (supervisor.phase !== 'running') return supervisor.phase
  if (health.some(({ severity }) => severity === 'error')) return 'errors'
  return health.some(({ severity }) => severity === 'warning') ? 'warnings' : 'holds'
}

export function verdictText(state: LiveState): string {
  const { supervisor, health } = state
  const count = (wanted: string, name: string): string[] => {
    const found = health.filter(({ severity }) => severity === wanted).length
    return found === 0 ? [] : [`${found} ${name}${found === 1 ? '' : 's'}`]
  }
  const counted = [...count('error', 'error'), ...count('warning', 'warning')].join(', ')
  switch (verdictOf(state)) {
    case 'holds':
      return `OK: ${promise(supervisor?.policy)}`
    case 'warnings':
      return health.some(weakensCapture)
        ? `WARNING: not every way past the gateway is closed or watched: ${counted}`
        : `WARNING: ${promise(supervisor?.policy)}; ${counted}`
    case 'errors':
      return `ERROR: not everything is as promised: ${counted}`
    case 'starting':
      return 'STARTING: calls to LLM providers are refused until it captures'
    case 'stopping':
      return 'STOPPING: calls to LLM providers are refused as long as the fence stands'
    case 'not-running':
      return 'NOT RUNNING: calls to LLM providers are refused as long as the fence stands'
    case 'unknown':
      return 'UNKNOWN: whether the gateway runs can’t be told'
  }
}

/** Such a state leaves calls that are neither captured nor refused possible, or unseen: now, not before the start. */
const weakensCapture = ({ code, severity }: Health): boolean =>
  severity === 'warning' &&
  (code.startsWith('enforcement.') || code === 'sensor.blind') &&
  code !== 'enforcement.unfenced'

const promise = (policy: { readonly name: string; readonly refuses: boolean } | undefined): string =>
  policy?.refuses === false
    ? `calls to LLM providers are recorded; the policy ${policy.name} refuses none that pass by`
    : 'calls to LLM providers are captured and recorded, or refused'
