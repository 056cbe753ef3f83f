/** A chain-writer as the recorder starts it, against a node of the test's own. */
import { createHash } from 'node:crypto'
import type { Test } from 'tap'
import { ChainError } from '../../daemon/chain-writer/chain-error.ts'
import { type ChainWriter, startChainWriter } from '../../daemon/chain-writer/chain-writer.ts'
import { type ChainSpec, ChainWriterData } from '../../daemon/chain-writer/chain-writer-state.ts'
import { httpRpc, type Rpc } from '../../daemon/chain-writer/json-rpc.ts'
import { anchoredTopics } from '../../daemon/chain-writer/registry.ts'
import { type Anvil, until } from './chain-anvil.ts'

export const key = Buffer.alloc(32, 7)
export const verifierKey = 'test.invalid/log+00000000+AQ=='
export const rootFor = (size: number) => createHash('sha256').update(`tree of ${size}`).digest('hex')
export const checkpointOf = (size: number, root = rootFor(size)) => ({
  size: BigInt(size),
  root,
  note: `note of ${size}`,
})
export const anchoring = { maxDelayMs: 300, maxLeaves: 1000 }
/** Quick enough for a test; the order of things is the product's. */
const limits = { pollMs: 20, checkMs: 200, patienceMs: 200, maxBackOffMs: 200 }

export interface Setup {
  readonly chain: ChainSpec
  readonly stateDir: string
  readonly rpc?: (url: string, signal: AbortSignal) => Rpc
  readonly policy?: 'head' | 'consistent'
  readonly maxBlocks?: number
  readonly origin?: string
}

export async function start(
  t: Test,
  { chain, stateDir, rpc, policy = 'head', maxBlocks = 1000, origin = 'test.invalid/log' }: Setup,
): Promise<ChainWriter> {
  const data = ChainWriterData.parse({
    chains: [{ ...chain, policy }],
    key,
    stateDir,
    origin,
    verifierKey,
    anchoring,
  })
  const writer = await startChainWriter({
    data,
    changed: () => {},
    limits: { ...limits, maxBlocks },
    ...(rpc ? { rpc } : {}),
  })
  t.teardown(() => writer.stop())
  return writer
}

/** One that has anchored its log at that size. */
export async function anchored(t: Test, setup: Setup, size: number): Promise<ChainWriter> {
  const writer = await start(t, setup)
  writer.checkpoint(checkpointOf(size))
  await anchoredAt(writer, size)
  return writer
}

export const development = (port: number): ChainSpec => ({
  name: 'development',
  kind: 'development',
  port,
  policy: 'head',
})
export const only = (writer: ChainWriter) => writer.state().chains[0]!
export const codes = (writer: ChainWriter) => writer.state().health.map(({ code }) => code)
export const states = (writer: ChainWriter) => () => writer.state().health
export const anchoredAt = (writer: ChainWriter, size: number) =>
  until(
    `${size} leaves are anchored`,
    () => only(writer).anchored?.size === String(size) && !only(writer).pending,
  )

/** All anchors that the chain has seen, in order. */
async function events(anvil: Anvil, { contract, logKey }: { contract?: string | undefined; logKey: string }) {
  const filter = {
    address: contract,
    topics: anchoredTopics(logKey),
    fromBlock: 'earliest',
    toBlock: 'latest',
  }
  const logs = (await anvil.call('eth_getLogs', filter)) as { topics: string[]; transactionHash: string }[]
  return logs.map(({ topics, transactionHash }) => ({
    size: Number(topics[2]),
    transaction: transactionHash,
  }))
}
export const sizes = async (anvil: Anvil, of: { contract?: string | undefined; logKey: string }) =>
  (await events(anvil, of)).map(({ size }) => size)
export const nonceOf = async (anvil: Anvil, address: string) =>
  Number(await anvil.call('eth_getTransactionCount', address, 'latest'))

/** The product's own way to an endpoint, but for what a test does to one method. */
export const faulty =
  (method: string, fault: (call: () => Promise<unknown>) => Promise<unknown>) =>
  (url: string, signal: AbortSignal): Rpc => {
    const rpc = httpRpc(url, { signal })
    return {
      host: rpc.host,
      call: (name, params) =>
        name === method ? fault(() => rpc.call(name, params)) : rpc.call(name, params),
    }
  }
export const unreachable = () => Promise.reject(new ChainError('RPC_UNREACHABLE', 'cut by the test', ''))
