/** What a running gateway says of itself: the supervisor's file and the recorder's socket. */
import { connect } from 'node:net'
import { z } from 'zod'
import { Health } from '../daemon/base/health.ts'
import type { Config } from '../daemon/config/config.ts'
import { type ChildName, kindOf } from '../daemon/supervisor/child-name.ts'
import { layout } from '../daemon/supervisor/layout.ts'
import { readState, type SupervisorState } from '../daemon/supervisor/state-file.ts'
import { servedHealth, witnessHealth } from './served-health.ts'

const Point = z.object({ size: z.string(), root: z.string() })

const ChainStatus = z.object({
  name: z.string(),
  chainId: z.number().optional(),
  contract: z.string().optional(),
  label: z.string().optional(),
  logKey: z.string().optional(),
  gatewayAddress: z.string().optional(),
  owner: z.string().optional(),
  authorization: z.object({ policy: z.string(), until: z.string().optional() }).optional(),
  head: Point.optional(),
  sizes: z
    .object({ submitted: z.string(), included: z.string(), safe: z.string(), finalized: z.string() })
    .optional(),
  failing: z.string().optional(),
  anchored: Point.extend({
    block: z.number(),
    time: z.string(),
    transaction: z.string(),
    finality: z.string().optional(),
    confirmedBy: z.string().optional(),
  }).optional(),
  currency: z.string().optional(),
  explorer: z.string().optional(),
  waitingSince: z.string().optional(),
  funds: z
    .object({
      balance: z.string().optional(),
      spentToday: z.string(),
      budget: z.string().optional(),
      lastAnchor: z.string().optional(),
    })
    .optional(),
  health: z.array(Health).optional(),
})
export type ChainStatus = z.infer<typeof ChainStatus>

const AnchoringStatus = z.object({
  preset: z.string(),
  acknowledge: z.string(),
  trial: z.boolean(),
  anchored: z.string(),
  lagSeconds: z.number(),
  lagLeaves: z.string(),
  holding: z.number(),
  blocked: z.string().optional(),
})
export type AnchoringStatus = z.infer<typeof AnchoringStatus>

const RecorderStatus = z.object({
  records: z.number(),
  pending: z.number(),
  treeSize: z.string(),
  checkpointTime: z.string().optional(),
  chain: z.object({ chains: z.array(ChainStatus) }).optional(),
  anchoring: AnchoringStatus.optional(),
  health: z.array(Health),
})
export type RecorderStatus = z.infer<typeof RecorderStatus>

export interface LiveState {
  /** Absent: no daemon runs with this configuration. */
  readonly supervisor?: SupervisorState
  /** Absent: the recorder doesn't answer. */
  readonly recorder?: RecorderStatus
  /** The rooms' own health states, and what follows from what is absent. */
  readonly health: readonly Health[]
}

const ANSWER_MS = 3000
const MAX_BYTES = 1 << 20

export async function readLiveState(config: Config): Promise<LiveState> {
  const paths = layout(config)
  const supervisor = await readState(paths.supervisorState)
  if (supervisor === undefined) return { health: [NOT_RUNNING] }
  const recorder = await askRecorder(paths.statusSocket)
  return {
    supervisor,
    ...(recorder === undefined ? {} : { recorder }),
    health: [...supervisorHealth(supervisor), ...(recorder?.health ?? [recorderSilent(supervisor)])],
  }
}

const NOT_RUNNING: Health = {
  code: 'daemon.not-running',
  severity: 'error',
  title: 'The gateway does not run: calls to LLM providers are refused as long as its fence stands',
  remedy: 'Start it: systemctl start agent-anchor, or `agent-anchor daemon` where there is no systemd.',
}

function recorderSilent({ children }: SupervisorState): Health {
  const pid = children.find(({ name }) => name === 'recorder')?.pid
  return {
    code: 'recorder.silent',
    severity: 'error',
    title: 'The recorder does not answer: governed calls are refused with 503',
    remedy: `One that died is started again by itself; one that hangs is not: end it${pid === undefined ? '' : ` (kill -9 ${pid})`}. If this stays, read the log (agent-anchor.log in logDir).`,
  }
}

const WITHOUT_WHICH_IT_CAPTURES = new Set<ChildName>([
  'development-chain',
  'sensor',
  'log-server',
  'witness',
  'witness-client',
])

/** What the supervisor's own state means for health. */
export function supervisorHealth(state: SupervisorState): Health[] {
  const { enforcement, children, outgrown, caTooWide, phase, sensor, missingAccounts } = state
  const found: Health[] = []
  if (phase !== 'running') {
    found.push({
      code: 'daemon.phase',
      severity: 'warning',
      title: `The gateway is ${phase}`,
      remedy: 'Wait a moment.',
    })
  }
  if (!enforcement.redirect) {
    found.push({
      code: 'enforcement.redirect',
      severity: phase === 'running' ? 'error' : 'warning',
      title: 'The redirect does not stand: calls to LLM providers are refused instead of captured',
      remedy: 'It is restored by itself; if this stays, read the log for what nft says.',
    })
  }
  if (!enforcement.fence) {
    found.push({
      code: 'enforcement.fence',
      severity: 'error',
      title: 'The fence does not stand: should the gateway die, LLM providers would be reachable',
      remedy: 'Restart the gateway; if this stays, read the log for what nft says.',
    })
  }
  if (enforcement.addresses === 0) {
    found.push({
      code: 'enforcement.addresses',
      severity: 'warning',
      title: 'No address of an LLM provider is known: only ports 80 and 443 are captured',
      remedy:
        'Check that this machine resolves names (getent hosts api.openai.com). They are looked up again every five minutes, and when the gateway is restarted.',
    })
  }
  if (!enforcement.watched) {
    found.push({
      code: 'enforcement.unwatched',
      severity: 'warning',
      title: 'Changes of the rules by others are not seen as they happen, only looked for',
      remedy: 'The watch is started again by itself; if this stays, read the log for what nft says.',
    })
  }
  if (!enforcement.egress) {
    found.push({
      code: 'enforcement.egress',
      severity: 'warning',
      title: 'This kernel can’t judge raw frames where they leave a device: CAP_NET_RAW gets past the rules',
      remedy: 'Run a kernel from 5.16 on with IP_ROUTE_CLASSID and NETFILTER_EGRESS.',
    })
  }
  if (enforcement.openQueues.length > 0) {
    const [first] = enforcement.openQueues
    found.push({
      code: 'enforcement.driver-queues',
      severity: 'warning',
      title: `AF_XDP sockets can send past the rules by ${enforcement.openQueues.map(({ device }) => device).join(', ')}: ${first?.reason}`,
      remedy:
        'Find the program that holds the queue (ss --xdp -p) and end it: the gateway takes the queue within seconds. Where the kernel refuses, the gateway needs CAP_NET_RAW, AF_XDP in RestrictAddressFamilies and a higher LimitMEMLOCK.',
    })
  }
  if (enforcement.lastTamper !== undefined) {
    const { time, by, what } = enforcement.lastTamper
    found.push({
      code: 'enforcement.tampered',
      severity: 'info',
      title: `${by} changed the gateway's rules at ${new Date(time).toISOString()} (${what}); they were restored`,
      remedy:
        'See agent-anchor records --kind audit. A firewall that flushes everything is harmless: it is put right.',
    })
  }
  if (sensor.blind.length > 0) {
    const [first] = sensor.blind
    found.push({
      code: 'sensor.blind',
      severity: 'warning',
      title: `The leak sensor does not see ${sensor.blind.map(({ device }) => device).join(', ')}: ${first?.reason}`,
      remedy:
        'Refusals go on and are counted, but single ones leave no record. Where pcap is missing, run installers/install.sh again: it builds it.',
    })
  }
  if (state.policy.rejected !== undefined) {
    found.push({
      code: 'policy.rejected',
      severity: 'error',
      title: `The policy's files were not taken, and it is as it was before: ${state.policy.rejected.split('\n', 1)[0]}`,
      remedy: 'See agent-anchor policy validate; put the files right, then agent-anchor policy reload.',
    })
  }
  if (missingAccounts.length > 0) {
    found.push({
      code: 'policy.missing-accounts',
      severity: 'warning',
      title: `The policy names who does not exist here: ${missingAccounts.join(', ')}`,
      remedy: 'Make the account and restart the gateway, or take it out of the policy.',
    })
  }
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
  found.push(...servedHealth(state.served), ...witnessHealth(state.cosigning))
  for (const child of children) {
    if (child.state === 'running') continue
    found.push({
      code: `process.${kindOf(child.name)}`,
      severity: WITHOUT_WHICH_IT_CAPTURES.has(child.name) ? 'warning' : 'error',
      title: `${child.name} is ${child.state}${child.lastExit === undefined ? '' : ` (${child.lastExit})`}`,
      remedy: 'It is started again by itself; if this stays, read the log (agent-anchor.log in logDir).',
    })
  }
  return found
}

/** The recorder's status document, or undefined where it can't be had in time or isn't one. */
function askRecorder(socketPath: string): Promise<RecorderStatus | undefined> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = []
    let length = 0
    const socket = connect(socketPath)
    const give = (status: RecorderStatus | undefined) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(status)
    }
    const timer = setTimeout(() => give(undefined), ANSWER_MS)
    socket.on('error', () => give(undefined))
    socket.on('data', (piece: Buffer) => {
      length += piece.length
      if (length > MAX_BYTES) give(undefined)
      else pieces.push(piece)
    })
    socket.on('end', () => {
      try {
        give(RecorderStatus.safeParse(JSON.parse(Buffer.concat(pieces).toString('utf8'))).data)
      } catch {
        give(undefined)
      }
    })
  })
}
