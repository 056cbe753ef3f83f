/**
 * The metrics on a port of this machine, for a Prometheus that runs here. Loopback only: they say how much is called,
 * and nothing of what.
 */
import { type BoundedServer, startBoundedServer } from '../http/bounded-server.ts'
import { readState } from '../supervisor/state-file.ts'
import { residentMemory } from './memory.ts'
import { type Measured, metricsText } from './metrics.ts'

export interface MetricsSettings {
  readonly address: string
  readonly port: number
  /** `supervisor.json`. */
  readonly supervisorState: string
}

export function startMetricsServer(
  { address, port, supervisorState }: MetricsSettings,
  recorder: () => Pick<Measured, 'recorder' | 'health'>,
  log: (line: string) => void,
): BoundedServer {
  return startBoundedServer({
    address,
    port,
    maxBody: 0,
    log: (line) => log(`metrics: ${line}`),
    listening: () => {},
    async handle({ method, path }) {
      if (path !== '/metrics') return { status: 404 }
      if (method !== 'GET' && method !== 'HEAD') return { status: 405, headers: { allow: 'GET, HEAD' } }
      const supervisor = await readState(supervisorState)
      const memory = await residentMemory(supervisor)
      const body = await metricsText({ supervisor, memory, ...recorder() })
      return { status: 200, headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }, body }
    },
  })
}
