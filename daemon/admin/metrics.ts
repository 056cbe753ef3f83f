/**
 * What the gateway counts and how it stands, as Prometheus reads it (text format 0.0.4). Names and units follow
 * https://prometheus.io/docs/practices/naming/. Nothing of any exchange is in it.
 */
import { Counter, Gauge, Registry } from 'prom-client'
import type { Health } from '../base/health.ts'
import type { SupervisorState } from '../supervisor/state-file.ts'
import { GROWING, type WorkerCounters } from '../supervisor/traffic.ts'

export interface MeasuredChain {
  readonly name: string
  readonly sizes?: Readonly<Record<'submitted' | 'included' | 'safe' | 'finalized', string>> | undefined
  readonly failing?: string | undefined
}

export interface Measured {
  readonly supervisor: SupervisorState | undefined
  /** Absent where the recorder doesn't answer. */
  readonly recorder?:
    | {
        readonly records: number
        readonly pending: number
        readonly treeSize: string
        readonly anchoring?:
          | {
              readonly anchored: string
              readonly lagSeconds: number
              readonly lagLeaves: string
              readonly blocked?: string | undefined
            }
          | undefined
        readonly chain?: { readonly chains: readonly MeasuredChain[] } | undefined
      }
    | undefined
  readonly health: readonly Health[]
  /** Resident memory of each process. */
  readonly memory: readonly { readonly name: string; readonly bytes: number }[]
}

const HELP: Readonly<Record<Exclude<keyof WorkerCounters, 'connections' | 'holding'>, [string, string]>> = {
  exchanges: ['exchanges', 'Governed calls that began'],
  spliced: ['spliced_connections', 'Connections that were passed on as they are'],
  refused: ['refusals', 'Calls and connections that the proxy refused'],
  failed: ['failed_exchanges', 'Governed calls that ended with an error of the gateway or of the provider'],
  tunnels: ['tunnels', 'Connections to somebody’s proxy that were looked into'],
  unrecorded: ['unrecorded_exchanges', 'Governed calls that went on without a record, as the policy has it'],
  lostRefusals: ['lost_refusals', 'Refusals that no record could be made of'],
  held: ['held_answers', 'Answers that were held until their records had reached the level'],
  undelivered: ['undelivered_answers', 'Answers that were held and never handed out'],
  early: ['early_answers', 'Answers that were handed out before their records had reached the level'],
}

/** Names of the three severities, so that each has a number also where it is 0. */
const SEVERITIES = ['info', 'warning', 'error'] as const

export function metricsText(measured: Measured): Promise<string> {
  const registry = new Registry()
  const gauge = (name: string, help: string, value: number | undefined) => {
    if (value === undefined) return
    new Gauge({ name: `agent_anchor_${name}`, help, registers: [registry] }).set(value)
  }
  const labelled = (name: string, help: string, labels: readonly string[]) =>
    new Gauge({ name: `agent_anchor_${name}`, help, labelNames: [...labels], registers: [registry] })
  const { supervisor, recorder, health, memory } = measured

  gauge('up', 'Whether the gateway captures', supervisor?.phase === 'running' ? 1 : 0)
  if (supervisor) ofSupervisor(registry, supervisor, gauge)
  if (recorder) {
    const { anchoring } = recorder
    gauge('recorded_leaves', 'Records in the log', recorder.records)
    gauge('pending_records', 'Exchanges that are over and not in the log yet', recorder.pending)
    gauge('ledger_size_leaves', 'Leaves under the newest signed checkpoint', Number(recorder.treeSize))
    gauge(
      'anchored_leaves',
      'Leaves that a quorum of the chains has',
      anchoring && Number(anchoring.anchored),
    )
    gauge('anchoring_lag_seconds', 'Age of the oldest leaf without an anchor', anchoring?.lagSeconds)
    gauge('anchoring_lag_leaves', 'Leaves without an anchor', anchoring && Number(anchoring.lagLeaves))
    gauge(
      'anchoring_blocked',
      'Whether new calls are refused because of anchoring',
      anchoring && (anchoring.blocked === undefined ? 0 : 1),
    )
    const sizes = labelled('chain_leaves', 'Leaves that a chain has, by how certain it is', [
      'chain',
      'finality',
    ])
    const failing = labelled('chain_failing', 'Whether a chain takes no anchor now', ['chain'])
    for (const chain of recorder.chain?.chains ?? []) {
      for (const [finality, size] of Object.entries(chain.sizes ?? {}))
        sizes.set({ chain: chain.name, finality }, Number(size))
      failing.set({ chain: chain.name }, chain.failing === undefined ? 0 : 1)
    }
  }
  const states = labelled('health_states', 'States of health that stand now', ['severity'])
  for (const severity of SEVERITIES)
    states.set({ severity }, health.filter((one) => one.severity === severity).length)
  const resident = labelled('resident_memory_bytes', 'Resident memory of a process', ['process'])
  for (const { name, bytes } of memory) resident.set({ process: name }, bytes)
  return registry.metrics()
}

function ofSupervisor(
  registry: Registry,
  { traffic, children, enforcement, sensor }: SupervisorState,
  gauge: (name: string, help: string, value: number | undefined) => void,
): void {
  for (const key of GROWING) {
    const [name, help] = HELP[key as keyof typeof HELP]
    new Counter({ name: `agent_anchor_${name}_total`, help, registers: [registry] }).inc(traffic[key])
  }
  gauge('connections', 'Connections of agents that are open', traffic.connections)
  gauge('holding_answers', 'Answers that are held now', traffic.holding)
  const restarts = new Counter({
    name: 'agent_anchor_restarts_total',
    help: 'Starts of a process after its first',
    labelNames: ['process'],
    registers: [registry],
  })
  for (const { name, restarts: count } of children) restarts.inc({ process: name }, count)
  gauge('provider_addresses', 'Known addresses of providers', enforcement.addresses)
  gauge('sensor_missed_packets', 'Packets that the kernel could not hand to the leak sensor', sensor.drops)
}
