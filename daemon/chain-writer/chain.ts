/** The calls that anchoring makes, typed, over any {@link Rpc}. */
import { ChainError, garbage, refusalOf } from './chain-error.ts'
import type { Rpc } from './json-rpc.ts'
import { type Block, type FeeHistory, type Log, type Receipt, read } from './values.ts'

export type BlockTag = 'latest' | 'pending' | 'safe' | 'finalized' | 'earliest' | number

export interface LogFilter {
  readonly address: string
  readonly topics: readonly (string | null)[]
  readonly fromBlock: BlockTag
  readonly toBlock: BlockTag
}

export interface Chain {
  readonly rpc: Rpc
  chainId(): Promise<bigint>
  code(address: string): Promise<string>
  balance(address: string): Promise<bigint>
  nonce(address: string): Promise<number>
  block(tag: BlockTag): Promise<Block | undefined>
  receipt(hash: string): Promise<Receipt | undefined>
  /** Whether the node holds the transaction, mined or not. */
  knows(hash: string): Promise<boolean>
  logs(filter: LogFilter): Promise<Log[]>
  feeHistory(blocks: number, percentile: number): Promise<FeeHistory>
  gasPrice(): Promise<bigint>
  /** @throws ChainError REVERTED where the contract says no. */
  call(to: string, data: string): Promise<string>
  /** @throws ChainError REVERTED where the contract says no. */
  estimateGas(transaction: { from: string; to?: string; data: string }): Promise<bigint>
  send(raw: string): Promise<void>
}

export function chainOver(rpc: Rpc): Chain {
  const ask = async <T>(
    read: (value: unknown, method: string) => T,
    method: string,
    ...params: unknown[]
  ): Promise<T> =>
    rpc.ask
      ? rpc.ask(method, params, (value) => read(value, method))
      : read(await rpc.call(method, params), method)
  const executing = async <T>(run: () => Promise<T>): Promise<T> => {
    try {
      return await run()
    } catch (error) {
      const refusal = refusalOf(error)
      // Geth and its kin: code 3 with the revert data. Others say it in words only.
      if (!refusal || (refusal.status !== 3 && !/revert/i.test(refusal.message))) throw error
      throw new ChainError(
        'REVERTED',
        `the contract refuses: ${refusal.message}`,
        'The gateway looks at the chain again; if it goes on, check `contract` of this chain in the configuration.',
        refusal,
      )
    }
  }
  return {
    rpc,
    chainId: () => ask(read.quantity, 'eth_chainId'),
    code: (address) => ask(read.data, 'eth_getCode', address, 'latest'),
    balance: (address) => ask(read.quantity, 'eth_getBalance', address, 'latest'),
    nonce: async (address) => Number(await ask(read.quantity, 'eth_getTransactionCount', address, 'latest')),
    block: async (tag) => (await ask(blockAt(tag), 'eth_getBlockByNumber', tagOf(tag), false)) ?? undefined,
    receipt: async (hash) =>
      (await ask(of(hash, read.receipt), 'eth_getTransactionReceipt', hash)) ?? undefined,
    knows: async (hash) => (await ask(of(hash, read.transaction), 'eth_getTransactionByHash', hash)) !== null,
    logs: ({ address, topics, fromBlock, toBlock }) =>
      ask(read.logs, 'eth_getLogs', {
        address,
        topics,
        fromBlock: tagOf(fromBlock),
        toBlock: tagOf(toBlock),
      }),
    feeHistory: (blocks, percentile) =>
      ask(read.feeHistory, 'eth_feeHistory', `0x${blocks.toString(16)}`, 'latest', [percentile]),
    gasPrice: () => ask(read.quantity, 'eth_gasPrice'),
    call: (to, data) => executing(() => ask(read.data, 'eth_call', { to, data }, 'latest')),
    estimateGas: (transaction) => executing(() => ask(read.quantity, 'eth_estimateGas', transaction)),
    send: async (raw) => void (await ask(read.hash, 'eth_sendRawTransaction', raw)),
  }
}

type Reader<T> = (value: unknown, method: string) => T

/** An answer about another transaction than the one that was asked for is a lie or a mix-up. */
const of =
  <T extends { readonly transactionHash: string } | null>(hash: string, reader: Reader<T>): Reader<T> =>
  (value, method) => {
    const answer = reader(value, method)
    if (answer && answer.transactionHash !== hash.toLowerCase())
      throw garbage(`the answer to ${method} is about another transaction`)
    return answer
  }

const blockAt =
  (tag: BlockTag): Reader<Block | null> =>
  (value, method) => {
    const block = read.block(value, method)
    if (block && typeof tag === 'number' && block.number !== tag)
      throw garbage(`the answer to ${method} is another block than ${tag}`)
    return block
  }

const tagOf = (tag: BlockTag) => (typeof tag === 'number' ? `0x${tag.toString(16)}` : tag)

/** @throws ChainError WRONG_CHAIN */
export async function assertChain(chain: Chain, expected: number): Promise<void> {
  const id = await chain.chainId()
  if (id === BigInt(expected)) return
  throw new ChainError(
    'WRONG_CHAIN',
    `${chain.rpc.host} serves chain ${id}, not ${expected}`,
    'Correct `rpc` or `chainId` of this chain in the configuration.',
  )
}
