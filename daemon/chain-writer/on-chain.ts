/**
 * What a chain says of a log, for whoever verifies: without our daemon, our state or our key. An answer is only as
 * good as the endpoint that gives it.
 */
import type { Finality } from './anchors.ts'
import { assertChain, type Chain, chainOver } from './chain.ts'
import { ChainError } from './chain-error.ts'
import { httpRpc, type RpcOptions } from './json-rpc.ts'
import {
  type AnchoredEvent,
  anchoredEvent,
  anchoredTopics,
  decodeHead,
  encode,
  type Head,
} from './registry.ts'
import { isAnyRegistry } from './registry-versions.ts'

export interface OnChain {
  /** URL of a JSON-RPC endpoint. */
  readonly rpc: string
  /** Checked first, where given. */
  readonly chainId?: number
  readonly contract: string
  readonly logKey: string
  /** For each call. Default 5 s. */
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 5_000

/** The log's newest head; size 0n where nothing is anchored. @throws ChainError */
export async function readHead(where: OnChain): Promise<Head> {
  const chain = await connect(where)
  await assertRegistry(chain, where.contract)
  return decodeHead(await chain.call(where.contract, encode.head(where.logKey)))
}

/** What is known of an anchor: where its transaction is known, no search over the chain's logs is needed. */
export interface SoughtAnchor {
  readonly size: bigint
  readonly transaction?: string
}

/**
 * The event by which a tree size was anchored, in a block that the chain has now. Whoever calls compares its root.
 * @throws ChainError NOT_ANCHORED, and what else asking can bring
 */
export async function readAnchoredEvent(where: OnChain, sought: SoughtAnchor): Promise<AnchoredEvent> {
  const chain = await connect(where)
  const { contract, logKey } = where
  const { size, transaction } = sought
  await assertRegistry(chain, contract)
  const logs = transaction
    ? await logsOf(chain, transaction)
    : await chain.logs({
        address: contract,
        topics: anchoredTopics(logKey, size),
        fromBlock: 'earliest',
        toBlock: 'latest',
      })
  const event = logs
    .map((log) => anchoredEvent(log, contract))
    .find((e) => e?.logKey === logKey.toLowerCase() && e.size === size)
  if (!event)
    throw nothing(`no anchor of ${size} leaves is on the chain${transaction ? ` in ${transaction}` : ''}`)
  const block = await chain.block(event.block)
  if (block?.hash !== event.blockHash)
    throw nothing(`the block ${event.blockHash} of the anchor isn't in the chain`)
  return event
}

/** How final a block is by the endpoint's own tags; undefined where it has none. @throws ChainError */
export async function readFinality(where: OnChain, block: number): Promise<Finality | undefined> {
  const chain = await connect(where)
  const covers = async (tag: 'finalized' | 'safe') => ((await chain.block(tag))?.number ?? -1) >= block
  try {
    if (await covers('finalized')) return 'finalized'
    return (await covers('safe')) ? 'safe' : 'included'
  } catch (error) {
    if (error instanceof ChainError && error.code === 'RPC_REFUSED') return undefined
    throw error
  }
}

/** Any contract can log the event; only this one's code keeps what it says. */
async function assertRegistry(chain: Chain, contract: string): Promise<void> {
  const code = await chain.code(contract)
  if (code === '0x') throw nothing(`there is no contract at ${contract}`)
  if (!isAnyRegistry(code)) throw nothing(`the contract at ${contract} is no version of AnchorRegistry`)
}

async function logsOf(chain: Chain, transaction: string) {
  const receipt = await chain.receipt(transaction)
  if (!receipt) throw nothing(`the chain has no transaction ${transaction}`)
  return receipt.status === 1n ? receipt.logs : []
}

async function connect({ rpc, chainId, timeoutMs = TIMEOUT_MS }: OnChain): Promise<Chain> {
  const options: RpcOptions = { timeoutMs }
  const chain = chainOver(httpRpc(rpc, options))
  if (chainId !== undefined) await assertChain(chain, chainId)
  return chain
}

function nothing(what: string): ChainError {
  return new ChainError(
    'NOT_ANCHORED',
    what,
    'Ask another endpoint of this chain, or verify against a later anchor: it covers every leaf before it.',
  )
}
