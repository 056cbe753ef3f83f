/** The lanes of all configured chains, with their state on disk: what the thread runs, and a test may without one. */
import { rename } from 'node:fs/promises'
import type { z } from 'zod'
import { makeDirectory } from '../base/durable.ts'
import { messageOf } from '../base/errors.ts'
import type { Health } from '../base/health.ts'
import { openReader } from '../ledger/reader.ts'
import { logKeyOf } from './addresses.ts'
import {
  type AnchorState,
  anchorsFile,
  type ChainAnchors,
  readAnchors,
  retired,
  writeAnchors,
} from './anchors.ts'
import { chainOver } from './chain.ts'
import { ChainError } from './chain-error.ts'
import type { ChainSpec, ChainState, ChainWriterData, ChainWriterState } from './chain-writer-state.ts'
import type { AnchorCheckpoint, Consistency } from './checkpoint.ts'
import { vkeyHashOf } from './delegation.ts'
import {
  DEVELOPMENT_CHAIN_ID,
  DEVELOPMENT_LABEL,
  developmentRpc,
  setAsideHealth,
} from './development-chain.ts'
import { DEFAULT_CAPS } from './fees.ts'
import { type Journal, openJournal } from './journal.ts'
import { failover, httpRpc, type Rpc } from './json-rpc.ts'
import { type Lane, startLane } from './lane.ts'
import { type LaneLimits, type LaneRecord, LIMITS } from './lane-context.ts'
import { DEFAULT_POLICY, FOREVER } from './registry.ts'
import { gatewaySigner } from './signer.ts'

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
}

/** Reads what was kept and starts a lane for each chain. @throws ChainError, DurableError where the state can't be kept */
export async function startChainWriter(options: ChainWriterOptions): Promise<ChainWriter> {
  const { data, changed } = options
  const signer = gatewaySigner(data.key)
  const vkeyHash = vkeyHashOf(data.verifierKey)
  const ending = new AbortController()
  const connect = options.rpc ?? ((url, signal) => httpRpc(url, { signal }))
  await makeDirectory(data.stateDir)
  const kept = await openAnchors(data.stateDir)
  let consistency: (Consistency & { readonly to: bigint }) | undefined

  const open = async (spec: ChainSpec) => {
    const { name, kind } = spec
    const development = kind === 'development'
    const chainId = development ? DEVELOPMENT_CHAIN_ID : spec.chainId
    const { journal, damaged } = await openJournal(data.stateDir, name)
    const health: Health[] = kept.health ? [kept.health] : []
    if (damaged) health.push(damagedHealth(damaged))
    const setAside = development ? await setAsideHealth(data.stateDir) : undefined
    if (setAside) health.push(setAside)
    const owner = spec.owner ?? signer.address
    const logKey = logKeyOf(owner, data.origin)
    const record = kept.record({ name, kind, chainId, logKey, gateway: signer.address })
    const urls = development ? [developmentRpc(spec.port)] : spec.rpc
    const lane = startLane({
      name,
      kind,
      chainId,
      contract: development ? undefined : spec.contract,
      confirmations: (development ? undefined : spec.confirmations) ?? DEFAULT_CONFIRMATIONS,
      chain: chainOver(failover(urls.map((url) => connect(url, ending.signal)))),
      signer,
      journal,
      record,
      origin: data.origin,
      vkeyHash,
      owner,
      authorizations: data.authorizations,
      logKey,
      policy: spec.policy ?? DEFAULT_POLICY,
      anchoring: data.anchoring,
      caps: DEFAULT_CAPS,
      limits: { ...LIMITS[kind], ...options.limits },
      consistencyProof: async (from, to) =>
        consistency?.from === from && consistency.to === to
          ? consistency.proof
          : proofOf(data.ledger, from, to),
      health,
      now: Date.now,
      changed,
    })
    const state = () =>
      describe({ spec, chainId, logKey, owner, gatewayAddress: signer.address, lane, journal, record })
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

/** Where a chain has no tags for finality; what exchanges wait for on Ethereum before there were any. */
const DEFAULT_CONFIRMATIONS = 12

function describe(of: {
  spec: ChainSpec
  chainId: number
  logKey: string
  owner: string
  gatewayAddress: string
  lane: Lane
  journal: Journal
  record: LaneRecord
}): ChainState {
  const { spec, chainId, logKey, owner, gatewayAddress, lane, journal, record } = of
  const { registration } = lane
  const anchored = record.anchors.at(-1)
  const pending = journal.inFlight?.transactions.at(-1)
  return {
    name: spec.name,
    kind: spec.kind,
    chainId,
    ...(spec.kind === 'development' ? { label: DEVELOPMENT_LABEL } : {}),
    ...(record.contract ? { contract: record.contract } : {}),
    logKey,
    gatewayAddress,
    owner,
    ...(registration
      ? {
          authorization: {
            policy: registration.policy,
            ...(registration.until < FOREVER
              ? { until: new Date(registration.until * 1000).toISOString() }
              : {}),
          },
        }
      : {}),
    ...(lane.head ? { head: { size: lane.head.size.toString(), root: lane.head.root } } : {}),
    ...(anchored
      ? {
          anchored: {
            size: anchored.size,
            root: anchored.root,
            transaction: anchored.transaction,
            block: anchored.block,
            blockHash: anchored.blockHash,
            time: anchored.time,
            finality: anchored.finality,
          },
        }
      : {}),
    ...(pending
      ? {
          pending: {
            purpose: pending.purpose.type,
            ...(pending.purpose.type === 'anchor' ? { size: pending.purpose.size } : {}),
            transaction: pending.hash,
            since: new Date(pending.signed).toISOString(),
          },
        }
      : {}),
    health: [...lane.health],
  }
}

/** `anchors.json` in memory: each lane has its part, writes go one after the other. */
async function openAnchors(directory: string) {
  let state: AnchorState
  let health: Health | undefined
  try {
    state = readAnchors(directory)
  } catch (error) {
    if (!(error instanceof ChainError)) throw error
    const aside = `${anchorsFile(directory)}.damaged`
    await rename(anchorsFile(directory), aside)
    state = { v: 1, chains: [] }
    health = damagedHealth(aside)
  }
  let writing: Promise<void> = Promise.resolve()

  const record = (of: Pick<ChainAnchors, 'name' | 'kind' | 'chainId' | 'logKey' | 'gateway'>): LaneRecord => {
    state = { v: 1, chains: retired(state.chains, of) }
    const known = state.chains.find((c) => !c.former && c.name === of.name && c.chainId === of.chainId)
    const part: LaneRecord = {
      contract: known?.contract,
      anchors: known?.anchors ?? [],
      alarm: known?.alarm,
      async save() {
        const { contract, anchors, alarm } = part
        const others = state.chains.filter((chain) => chain.former || chain.name !== of.name)
        const label = of.kind === 'development' ? { label: DEVELOPMENT_LABEL } : {}
        state = {
          v: 1,
          chains: contract
            ? [...others, { ...of, ...label, contract, ...(alarm ? { alarm } : {}), anchors: [...anchors] }]
            : others,
        }
        const next = writing.catch(() => undefined).then(() => writeAnchors(directory, state))
        writing = next
        return next
      },
      async moveTo(contract) {
        if (part.contract === contract) return
        state = { v: 1, chains: retired(state.chains, { ...of, contract }) }
        if (part.contract !== undefined) part.anchors = []
        part.contract = contract
        await part.save()
      },
    }
    return part
  }
  return { health, record }
}

const damagedHealth = (file: string): Health => ({
  code: 'chain.state-damaged',
  severity: 'warning',
  title: `a state file of the chain-writer was damaged and set aside as ${file}`,
  remedy: 'Nothing is lost: the chain is asked. Check the disk, then remove the file.',
})
