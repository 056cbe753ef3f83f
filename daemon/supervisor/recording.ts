/** The recorder as this gateway starts it: with its keys, its log's name, the chains, and the evidence that waited. */
import type { Policy } from '../../policies/policy.ts'
import type { Config } from '../config/config.ts'
import type { Account } from './accounts.ts'
import type { AuditTrail } from './audit-trail.ts'
import type { Child } from './child.ts'
import type { Identity } from './identity.ts'
import type { Layout } from './layout.ts'
import type { Log } from './log.ts'
import { startRecorder } from './recorder-process.ts'

export function startRecording(options: {
  readonly config: Config
  readonly paths: Layout
  readonly account: Account
  readonly identity: Identity
  readonly log: Log
  readonly changed: () => void
  readonly trail: AuditTrail
  readonly policy: () => Policy
}): Child {
  const { config, paths, identity, trail } = options
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
    recorded: trail.recorded,
    start: () => ({
      stateDir: paths.recorderState,
      socket: paths.recorderSocket,
      statusSocket: paths.statusSocket,
      bodyKey: identity.keys.body,
      logKey: identity.logSeed,
      origin: identity.origin,
      verifierKey: identity.verifierKey,
      checkpointIntervalMs: config.ledger.checkpointIntervalMs,
      policy: options.policy(),
      chain: {
        chains,
        key: identity.keys.gateway,
        stateDir: paths.chainState,
        origin: identity.origin,
        ledger: paths.ledger,
        anchoring: config.anchoring,
      },
    }),
  })
}
