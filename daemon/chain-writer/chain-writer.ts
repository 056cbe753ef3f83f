/** The lanes of all configured chains, with their state on disk: what the thread runs, and a test may without one. */
import type { z } from 'zod'
import { makeDirectory } from '../base/durable/files.ts'
import { messageOf } from '../base/errors.ts'
import type { Health } from '../base/health.ts'
import { openReader } from '../ledger/reader.ts'
import { logKeyOf } from './addresses.ts'
import { openAlarm } from './alarms.ts'
import { damagedHealth, openAnchors } from './anchor-records.ts'
import { chainOver } from './chain.ts'
import { ChainError } from './chain-error.ts'
import type { ChainSpec, ChainWriterData, ChainWriterState } from './chain-writer-state.ts'
import type { AnchorCheckpoint, Consistency } from './checkpoint.ts'
import { vkeyHashOf } from './delegation.ts'
import { describeChain } from './describe-chain.ts'
import { setAsideHealth } from './development-chain.ts'
import { endpointsOf } from './endpoints.ts'
import { openJournal } from './journal.ts'
import { httpRpc, type Rpc } from './json-rpc.ts'
import { startLane } from './lane.ts'
import { type LaneLimits, LIMITS } from './lane-context.ts'
import { laneSettings } from './lane-settings.ts'
import { DEFAULT_POLICY } from './registry.ts'
import { gatewaySigner } from './signer.ts'
import { allSpent } from './spending.ts'

export interface ChainWriter {
  checkpoint(checkpoint: AnchorCheckpoint, consistency?: Consistency): void
  state(): ChainWriterState
  stop(): Promise<void>
}

export interface ChainWriterOptions {
  readonly data: z.output<typeof ChainWriterData>
  readonly changed: () => void
  /** For tests: the way to an endpoint. */
  readonly rpc?: (url: string, signal: AbortSignal) => Rpc
  readonly limits?: Partial<LaneLimits>
  readonly now?: () => number
}

/** Reads what was kept and starts a lane for each chain. @throws ChainError, DurableError where the state can't be kept */
export async function startChainWriter(options: ChainWriterOptions): Promise<ChainWriter> {
  const { data, changed, now = Date.now } = options
  const signer = gatewaySigner(data.key)
  const first = data.ownerKey && gatewaySigner(data.ownerKey)
  const vkeyHash = vkeyHashOf(data.verifierKey)
  const ending = new AbortController()
  const connect = options.rpc ?? ((url, signal) => httpRpc(url, { signal }))
  await makeDirectory(data.stateDir)
  const kept = await openAnchors(data.stateDir)
  let consistency: (Consistency & { readonly to: bigint }) | undefined

  const open = async (spec: ChainSpec) => {
    const { name, kind } = spec
    const settings = laneSettings(spec)
    const { chainId, urls, label, contract, confirmations, caps, feeModel, percentile } = settings
    const { journal, damaged } = await openJournal(data.stateDir, name)
    const health: Health[] = kept.health ? [kept.health] : []
    if (damaged) {
      health.push(damagedHealth(damaged))
      // What was spent today is lost with it: no budget is spent twice for that.
      if (caps.maxPerDay !== undefined) await journal.put({ spending: allSpent(caps.maxPerDay, now()) })
    }
    const setAside = kind === 'development' ? await setAsideHealth(data.stateDir) : undefined
    if (setAside) health.push(setAside)
    const owner = spec.owner ?? first?.address ?? signer.address
    const logKey = logKeyOf(owner, data.origin)
    const place = { name, kind, chainId, logKey, gateway: signer.address }
    const record = kept.record(label === undefined ? place : { ...place, label })
    const endpoints = endpointsOf({ rpcs: urls.map((url) => connect(url, ending.signal)), chainId, now })
    const alarm = await openAlarm(data.stateDir, name)
    const lane = startLane({
      name,
      kind,
      chainId,
      contract,
      confirmations,
      endpoints,
      chain: chainOver(endpoints),
      signer,
      journal,
      record,
      alarm,
      origin: data.origin,
      vkeyHash,
      owner,
      ownerSigner: owner === first?.address ? first : undefined,
      authorizations: data.authorizations,
      logKey,
      policy: spec.policy ?? DEFAULT_POLICY,
      anchoring: data.anchoring,
      caps,
      feeModel,
      percentile,
      limits: { ...LIMITS[kind], ...options.limits },
      consistencyProof: async (from, to) =>
        consistency?.from === from && consistency.to === to
          ? consistency.proof
          : proofOf(data.ledger, from, to),
      health,
      now,
      changed,
    })
    const gatewayAddress = signer.address
    const state = () =>
      describeChain({
        spec,
        settings,
        logKey,
        owner,
        gatewayAddress,
        lane,
        journal,
        record,
        now: now(),
      })
    return { lane, state }
  }

  const lanes = await Promise.all(data.chains.map(open))
  return {
    checkpoint(checkpoint, proof) {
      if (proof) consistency = { ...proof, to: checkpoint.size }
      for (const { lane } of lanes) lane.checkpoint(checkpoint)
    },
    state() {
      const chains = lanes.map(({ state }) => state())
      return { type: 'state', chains, health: chains.flatMap((chain) => chain.health) }
    },
    async stop() {
      ending.abort()
      await Promise.all(lanes.map(({ lane }) => lane.stop()))
    },
  }
}

/** From the log's own tiles, which are written before the checkpoint that they stand under is announced. */
function proofOf(ledger: string | undefined, from: bigint, to: bigint): string[] | undefined {
  if (ledger === undefined) return undefined
  try {
    return openReader(ledger)
      .consistencyProof(from, to)
      .map((hash) => hash.toString('hex'))
  } catch (error) {
    throw new ChainError(
      'NO_CONSISTENCY_PROOF',
      `it can't be shown that the ledger's ${to} leaves extend the ${from} on the chain: ${messageOf(error)}`,
      'Check the ledger with `agent-anchor verify`.',
      error,
    )
  }
}
