/** Asks the chains of this machine's configuration; a receipt never says whom to ask. */
import { ChainError } from '../daemon/chain-writer/chain-error.ts'
import { readAnchoredEvent, readFinality, readHead } from '../daemon/chain-writer/on-chain.ts'
import type { Config } from '../daemon/config/config.ts'
import type { AskChain } from '../daemon/receipt/anchor-finding.ts'
import { NoEndpoint } from './cli-error.ts'

/** Where a log stands on a chain. */
interface Place {
  readonly chainId: number
  readonly contract: string
  readonly logKey: string
}

/** A log's newest anchor on a chain: its size (0n for none) and root, hex. */
export type AskHead = (
  chain: string,
  place: Place,
) => Promise<{ readonly size: bigint; readonly root: string }>

/** @param rpc an endpoint given by hand, used for every chain; the chain id is checked */
export function askConfiguredChains(config: Config, rpc?: string): AskChain {
  return async ({ chain, chainId, contract, logKey, size, transaction }) => {
    try {
      const sought = { size: BigInt(size), transaction }
      return await atFirst(config, chain, chainId, rpc, async (endpoint) => {
        const where = { rpc: endpoint, chainId, contract, logKey }
        const { size, root, block } = await readAnchoredEvent(where, sought)
        const finality = await readFinality(where, block)
        return { size, root, block, ...(finality && { finality }), saidBy: new URL(endpoint).host }
      })
    } catch (error) {
      if (error instanceof ChainError && error.code === 'NOT_ANCHORED') return undefined
      throw error
    }
  }
}

/** @param rpc as for {@link askConfiguredChains} */
export const askConfiguredHeads =
  (config: Config, rpc?: string): AskHead =>
  (chain, { chainId, contract, logKey }) =>
    atFirst(config, chain, chainId, rpc, (endpoint) => readHead({ rpc: endpoint, chainId, contract, logKey }))

/** The first endpoint's answer that is one; that nothing is anchored is an answer too. */
async function atFirst<T>(
  config: Config,
  chain: string,
  chainId: number,
  rpc: string | undefined,
  ask: (endpoint: string) => Promise<T>,
): Promise<T> {
  let last: unknown
  for (const endpoint of rpc === undefined ? endpointsOf(config, chain, chainId) : [rpc]) {
    try {
      return await ask(endpoint)
    } catch (error) {
      if (error instanceof ChainError && error.code === 'NOT_ANCHORED') throw error
      last = error
    }
  }
  throw last
}

function endpointsOf(config: Config, name: string, chainId: number): readonly string[] {
  for (const chain of config.chains) {
    if (chain.kind === 'rpc' && chain.chainId === chainId) return chain.rpc
    if (chain.kind === 'development' && chain.name === name) {
      return [`http://127.0.0.1:${config.listen.ports.developmentChain}`]
    }
  }
  throw new NoEndpoint(chainId)
}
