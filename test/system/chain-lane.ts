/** A lane against a real node behind endpoints that a test makes misbehave, and what must be true whatever they do. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type ChainWriter, startChainWriter } from '../../daemon/chain-writer/chain-writer.ts'
import { type ChainSpec, ChainWriterData } from '../../daemon/chain-writer/chain-writer-state.ts'
import { DEVELOPMENT_CHAIN_ID } from '../../daemon/chain-writer/development-chain.ts'
import { httpRpc } from '../../daemon/chain-writer/json-rpc.ts'
import { readHead } from '../../daemon/chain-writer/on-chain.ts'
import { type AnchoredEvent, anchoredEvent, anchoredTopics } from '../../daemon/chain-writer/registry.ts'
import { read } from '../../daemon/chain-writer/values.ts'
import type { States } from '../lab/health.ts'
import { type Anvil, emptyDirectory, until } from './chain-anvil.ts'
import type { RpcProxy } from './rpc-proxy.ts'

export const rootFor = (size: number, fork = '') =>
  createHash('sha256').update(`tree of ${size}${fork}`).digest('hex')
export const checkpointOf = (size: number, fork = '') => ({
  size: BigInt(size),
  root: rootFor(size, fork),
  note: `note of ${size}`,
})

/** Quick enough for a test; the order of things is the product's. */
export const LIMITS = {
  pollMs: 20,
  checkMs: 100,
  patienceMs: 250,
  replaceMs: 800,
  maxBackOffMs: 200,
}
export const VERIFIER_KEY = 'test.invalid/log+00000000+AQ=='
/** An endpoint that is silent for so long is dead. */
const TIMEOUT_MS = 300
const GIVEN = '0x8ac7230489e80000'

export interface Lane {
  readonly writer: ChainWriter
  readonly state: () => ReturnType<ChainWriter['state']>['chains'][number]
  readonly states: States
  readonly codes: () => string[]
  readonly directory: string
  /** The clock that the lane is given runs so much ahead. */
  skew(ms: number): void
  checkpoint(size: number, fork?: string): void
  anchored(size: number): Promise<void>
  /** Anchored, mined over, and final by the lane's own word. */
  final(size: number): Promise<void>
  /** A fault in the gateway's own code, which no error of ours stands for. */
  breakOurs(broken: boolean): void
  stop(): Promise<void>
}

let keys = 0x1000

/** A key that nobody else has: each lane has a log of its own on the shared chain. */
export const freshKey = () =>
  Buffer.alloc(32, 0)
    .fill(0x11, 0, 28)
    .fill(++keys & 0xff, 31)
    .fill(keys >> 8, 30, 31)

export async function startLane(
  t: Test,
  anvil: Anvil,
  options: {
    readonly endpoints: readonly RpcProxy[]
    readonly key?: Buffer
    readonly directory?: string
    readonly fees?: Extract<ChainSpec, { kind: 'rpc' }>['fees']
    readonly limits?: Partial<typeof LIMITS>
    readonly funded?: boolean
    readonly origin?: string
  },
): Promise<Lane> {
  const directory = options.directory ?? join(emptyDirectory(t), 'chain')
  let ahead = 0
  let broken = false
  const data = ChainWriterData.parse({
    chains: [
      {
        name: 'lab',
        kind: 'rpc',
        chainId: DEVELOPMENT_CHAIN_ID,
        policy: 'head',
        rpc: options.endpoints.map(({ url }) => url),
        ...(options.fees ? { fees: options.fees } : {}),
      },
    ],
    key: options.key ?? freshKey(),
    stateDir: directory,
    origin: options.origin ?? 'test.invalid/log',
    verifierKey: VERIFIER_KEY,
    anchoring: { maxDelayMs: 100, maxLeaves: 1000 },
  })
  const writer = await startChainWriter({
    data,
    changed: () => {},
    limits: { ...LIMITS, ...options.limits },
    rpc: (url, signal) => {
      const rpc = httpRpc(url, { signal, timeoutMs: TIMEOUT_MS })
      return {
        host: rpc.host,
        call: async (method, params) => {
          if (broken) throw new TypeError('undefined is not a function')
          return rpc.call(method, params)
        },
      }
    },
    now: () => Date.now() + ahead,
  })
  t.teardown(() => writer.stop())
  const state = () => writer.state().chains[0]!
  if (options.funded !== false) await anvil.call('anvil_setBalance', state().gatewayAddress, GIVEN)
  const lane: Lane = {
    writer,
    state,
    directory,
    states: () => writer.state().health,
    codes: () => writer.state().health.map(({ code }) => code),
    skew: (ms) => {
      ahead += ms
    },
    checkpoint: (size, fork) => writer.checkpoint(checkpointOf(size, fork)),
    anchored: (size) =>
      until(`${size} leaves are anchored: ${JSON.stringify(writer.state().health)}`, () => {
        const { anchored, pending, head } = state()
        return anchored?.size === String(size) && head?.size === String(size) && !pending
      }),
    async final(size) {
      await lane.anchored(size)
      await anvil.call('anvil_mine', '0x50')
      await until(`${size} leaves are final`, () => state().anchored?.finality === 'finalized')
    },
    breakOurs: (now) => {
      broken = now
    },
    stop: () => writer.stop(),
  }
  return lane
}

/** All anchors of a log that the chain has, oldest first. */
export async function eventsOf(anvil: Anvil, lane: Lane): Promise<AnchoredEvent[]> {
  const { contract, logKey } = lane.state()
  if (contract === undefined) return []
  const filter = {
    address: contract,
    topics: anchoredTopics(logKey),
    fromBlock: 'earliest',
    toBlock: 'latest',
  }
  const logs = read.logs(await anvil.call('eth_getLogs', filter), 'eth_getLogs')
  return logs.flatMap((log) => anchoredEvent(log, contract) ?? [])
}

/**
 * Whatever happened: on the chain, sizes grow and each has the ledger's root; no transaction was ever signed for a
 * size with two roots; the newest checkpoint stands there, and no nonce waits for one that will never come.
 */
export async function inOrder(
  t: Test,
  anvil: Anvil,
  lane: Lane,
  endpoints: readonly RpcProxy[],
  newest: number,
): Promise<void> {
  const events = await eventsOf(anvil, lane)
  const sizes = events.map(({ size }) => Number(size))
  t.same(
    sizes,
    [...new Set(sizes)].toSorted((a, b) => a - b),
    'no anchor twice, none out of order',
  )
  for (const { size, root } of events) t.equal(root, rootFor(Number(size)))
  const { contract, logKey, gatewayAddress } = lane.state()
  t.same(await readHead({ rpc: anvil.url, contract: contract!, logKey }), {
    size: BigInt(newest),
    root: rootFor(newest),
  })
  t.same(
    [...rootsSigned(endpoints).values()].filter((roots) => roots.size > 1),
    [],
    'one root for a size',
  )
  const nonce = async (tag: string) =>
    Number(await anvil.call('eth_getTransactionCount', gatewayAddress, tag))
  t.equal(await nonce('pending'), await nonce('latest'), 'no transaction waits')
}

/** By log and size, the roots in all transactions that any endpoint was given. */
export function rootsSigned(endpoints: readonly RpcProxy[]): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>()
  for (const { transaction } of endpoints.flatMap(({ sent }) => sent)) {
    // anchor(bytes32 logKey, uint64 size, bytes32 root, bytes32[] proof)
    if (transaction.data.length < 10 + 4 * 64 || !transaction.to) continue
    const words = transaction.data.slice(10).match(/.{64}/g)!
    if (BigInt(`0x${words[3]}`) !== 128n) continue
    const key = `${words[0]} ${BigInt(`0x${words[1]}`)}`
    found.set(key, (found.get(key) ?? new Set()).add(words[2]!))
  }
  return found
}
