/** The recorder as this gateway starts it: with its keys, its log's name, the chains, and the evidence that waited. */
import type { Policy } from '../../policies/policy.ts'
import { countedChains } from '../anchoring/contradictions.ts'
import { anchoringOf } from '../anchoring/settings.ts'
import type { Config } from '../config/config.ts'
import { formatVerifierKey } from '../ledger/note.ts'
import type { AnchoringStart } from '../recorder/anchoring/settings.ts'
import type { RetentionSettings } from '../recorder/retention/keeper.ts'
import type { GatewayKeys } from '../vault/gateway-keys.ts'
import type { Account } from './accounts.ts'
import type { AuditTrail } from './audit-trail.ts'
import type { Child } from './child.ts'
import type { Identity } from './identity.ts'
import type { Layout } from './layout.ts'
import type { Log } from './log.ts'
import { startRecorder } from './recorder-process.ts'

/** What every recorder of this gateway's directory is told, whoever starts it. */
export function ownRecorder(
  config: Config,
  paths: Layout,
  { gateway, origin, verifierKey }: Pick<Identity, 'gateway' | 'origin' | 'verifierKey'>,
) {
  const { keys, bodyKeys, predecessor } = gateway
  const { checkpointIntervalMs } = config.ledger
  return {
    stateDir: paths.recorderState,
    bodyKey: bodyKeys,
    logKey: keys.log.privateKey,
    predecessor,
    origin,
    verifierKey,
    checkpointIntervalMs,
  }
}

const named = (gateway: GatewayKeys, origin: string) => ({
  gateway,
  verifierKey: formatVerifierKey(origin, gateway.keys.log.publicKey),
})

function retentionOf({ retention }: Config): RetentionSettings {
  const { maxAge, maxSize, whenDiskFull, reserve } = retention
  return { maxAgeMs: maxAge, maxSize, whenDiskFull, reserve }
}

/** What the recorder decides by: the knobs in force, and the chains that a quorum counts. */
function anchoringStart(config: Config): AnchoringStart {
  const { preset, acknowledge, onFailure, quorum, maxHoldMs, maxLagMs } = anchoringOf(config.anchoring)
  const counted = countedChains(config.chains)
  const { witnesses } = config.ledger
  return {
    preset,
    acknowledge,
    onFailure,
    quorum,
    maxHoldMs,
    maxLagMs,
    counted: counted.map(({ name }) => name),
    ...(witnesses
      ? { witnesses: { keys: witnesses.of.map(({ key }) => key), atLeast: witnesses.atLeast } }
      : {}),
    trial: counted.every(({ kind }) => kind === 'development'),
  }
}

export function startRecording(options: {
  readonly config: Config
  readonly paths: Layout
  readonly account: Account
  readonly identity: Identity
  /** Those in force when a recorder starts. */
  readonly keys: () => GatewayKeys
  readonly recorded: (ids: readonly string[]) => void
  readonly log: Log
  readonly changed: () => void
  readonly trail: AuditTrail
  readonly policy: () => Policy
}): Child {
  const { config, paths, identity, trail } = options
  const anchoring = anchoringOf(config.anchoring)
  const chains = config.chains.map((chain) =>
    chain.kind === 'development' ? { ...chain, port: config.listen.ports.developmentChain } : chain,
  )
  return startRecorder({
    account: options.account,
    log: options.log,
    changed: () => {
      options.changed()
      trail.flush()
    },
    died: (how) => {
      trail.lost()
      trail.write('child-died', { child: 'recorder', how })
    },
    renewed: trail.lost,
    recorded: options.recorded,
    start: () => ({
      ...ownRecorder(config, paths, { ...identity, ...named(options.keys(), identity.origin) }),
      socket: paths.recorderSocket,
      statusSocket: paths.statusSocket,
      adminSocket: paths.adminSocket,
      retention: retentionOf(config),
      policy: options.policy(),
      anchoring: anchoringStart(config),
      ...(config.listen.metrics
        ? { metrics: { ...config.listen.metrics, supervisorState: paths.supervisorState } }
        : {}),
      chain: {
        chains,
        key: options.keys().keys.gateway,
        ownerKey: options.keys().owner,
        stateDir: paths.chainState,
        origin: identity.origin,
        verifierKey: named(options.keys(), identity.origin).verifierKey,
        authorizations: paths.authorizations,
        ledger: paths.ledger,
        anchoring: { maxDelayMs: anchoring.maxDelayMs, maxLeaves: anchoring.maxLeaves },
      },
    }),
  })
}
