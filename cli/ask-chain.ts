/** Asks the chains of this machine's configuration for anchors; a receipt never says whom to ask. */
import { ChainError } from '../daemon/chain-writer/chain-error.ts'
import { readAnchoredEvent } from '../daemon/chain-writer/on-chain.ts'
import type { Config } from '../daemon/config/config.ts'
import type { AskChain } from '../daemon/receipt/verify.ts'
import { NoEndpoint } from './cli-error.ts'

/**
 * @param rpc an endpoint given by hand, used for every anchor; the chain id is checked against the receipt's
 */
export function askConfiguredChains(config: Config, rpc?: string): AskChain {
  return async ({ chain, chainId, contract, logKey, size, transaction }) => {
    const endpoints = rpc === undefined ? endpointsOf(config, chain, chainId) : [rpc]
    let last: unknown
    for (const endpoint of endpoints) {
      try {
        const event = await readAnchoredEvent(
          { rpc: endpoint, chainId, contract, logKey },
          { size: BigInt(size), transaction },
        )
        return { size: event.size, root: event.root }
      } catch (error) {
        if (error instanceof ChainError && error.code === 'NOT_ANCHORED') return undefined
        last = error
      }
    }
    throw last
  }
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
