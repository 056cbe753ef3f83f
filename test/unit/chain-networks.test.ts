import { readFileSync } from 'node:fs'
import t from 'tap'
import { DEVELOPMENT_CHAIN_ID } from '../../daemon/chain-writer/development-chain.ts'
import {
  explorerLink,
  feeModelOf,
  NETWORKS,
  networkNamed,
  networkOf,
} from '../../daemon/chain-writer/networks.ts'

t.test('knows the networks that are promised, each with its test network', async (t) => {
  // EIP-155 ids as registered at chainid.network.
  const ids: Record<string, [main: number, test: number]> = {
    'ethereum/sepolia': [1, 11155111],
    'base/base-sepolia': [8453, 84532],
    'optimism/optimism-sepolia': [10, 11155420],
    'arbitrum/arbitrum-sepolia': [42161, 421614],
    'polygon/polygon-amoy': [137, 80002],
    'bnb/bnb-testnet': [56, 97],
    'avalanche/avalanche-fuji': [43114, 43113],
    'gnosis/gnosis-chiado': [100, 10200],
    'linea/linea-sepolia': [59144, 59141],
    'scroll/scroll-sepolia': [534352, 534351],
    'zksync/zksync-sepolia': [324, 300],
  }
  for (const [names, [main, test]] of Object.entries(ids)) {
    const [public_, testing] = names.split('/') as [string, string]
    t.match(networkNamed(public_), { chainId: main, kind: 'public' }, public_)
    t.match(networkNamed(testing), { chainId: test, kind: 'test' }, testing)
    t.equal(networkOf(main)?.name, public_)
  }
  t.match(networkNamed('development'), { chainId: DEVELOPMENT_CHAIN_ID, kind: 'development' })
  t.equal(NETWORKS.length, 23)
})

t.test('no two networks share a name or an id, and only the embedded one has no explorer', async (t) => {
  t.equal(new Set(NETWORKS.map(({ name }) => name)).size, NETWORKS.length)
  t.equal(new Set(NETWORKS.map(({ chainId }) => chainId)).size, NETWORKS.length)
  t.same(
    NETWORKS.filter(({ explorer }) => explorer === undefined).map(({ name }) => name),
    ['development'],
  )
})

t.test('names no RPC endpoint: whom to ask is for the administrator to choose', async (t) => {
  const text = readFileSync(new URL('../../daemon/chain-writer/networks.json', import.meta.url), 'utf8')
  t.notMatch(text, /rpc|infura|alchemy|ankr|publicnode/i)
})

t.test('knows which rollups charge for their data apart from gas', async (t) => {
  t.match(feeModelOf('op-stack'), { type: 'l1-oracle', oracle: /^0x42.*0f$/ })
  t.match(feeModelOf('scroll'), { type: 'l1-oracle', oracle: /^0x53.*02$/ })
  t.same(feeModelOf('legacy'), { type: 'legacy' })
  for (const model of ['eip1559', 'arbitrum', 'zksync'] as const)
    t.same(feeModelOf(model), { type: 'eip1559' })
})

t.test('makes explorer links by EIP-3091', async (t) => {
  t.equal(explorerLink('https://basescan.org/', 'tx', '0xab'), 'https://basescan.org/tx/0xab')
  t.equal(explorerLink('https://basescan.org', 'block', 7), 'https://basescan.org/block/7')
})
