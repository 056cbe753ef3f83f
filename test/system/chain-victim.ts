/** A chain-writer in a process of its own, to be killed: `node chain-victim.ts RPC STATEDIR KEY`. */
import { argv, stdin } from 'node:process'
import { createInterface } from 'node:readline'
import { startChainWriter } from '../../daemon/chain-writer/chain-writer.ts'
import { ChainWriterData } from '../../daemon/chain-writer/chain-writer-state.ts'
import { DEVELOPMENT_CHAIN_ID } from '../../daemon/chain-writer/development-chain.ts'
import { checkpointOf, LIMITS, VERIFIER_KEY } from './chain-lane.ts'

const [, , rpc, stateDir, key] = argv as [string, string, string, string, string]

// Each line is the size of a checkpoint; the first one starts it, so that a process can be kept ready.
let starting: ReturnType<typeof startChainWriter> | undefined
for await (const line of createInterface({ input: stdin })) {
  starting ??= startChainWriter({
    data: ChainWriterData.parse({
      chains: [{ name: 'lab', kind: 'rpc', chainId: DEVELOPMENT_CHAIN_ID, rpc: [rpc], policy: 'head' }],
      key: Buffer.from(key, 'hex'),
      stateDir,
      origin: 'test.invalid/log',
      verifierKey: VERIFIER_KEY,
      anchoring: { maxDelayMs: 1, maxLeaves: 1 },
    }),
    changed: () => {},
    limits: { ...LIMITS, pollMs: 5, checkMs: 20 },
  })
  const writer = await starting
  writer.checkpoint(checkpointOf(Number(line)))
}
