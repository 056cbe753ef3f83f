/** What of a gateway runs so far: parts that start later than those which speak to them. */
import type { Child } from './child.ts'
import type { Proxies } from './proxies.ts'
import type { Serving } from './serving.ts'
import type { Sight } from './sight.ts'
import type { SupervisorState } from './state-file.ts'

export interface Running {
  phase: SupervisorState['phase']
  /** RFC 3339. */
  readonly since: string
  /** No fence stood when this start began, though one had been left: what should load it at boot did not. */
  unfenced: boolean
  /** The catalogue's names have been looked up once. */
  addressesKnown: boolean
  /** In the order of their start. */
  readonly children: Child[]
  recorder?: Child
  serving?: Serving
  sight?: Sight
  guard?: Child
  proxies?: Proxies
}

export const nothingRuns = (): Running => ({
  phase: 'starting',
  since: new Date().toISOString(),
  unfenced: false,
  addressesKnown: false,
  children: [],
})
