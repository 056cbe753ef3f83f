/** contracts/Hostile.sol, compiled: its code needn't be good, only soon there. */
import { fileURLToPath } from 'node:url'
import { solidity } from '../../daemon/chain-writer/contracts/compile.ts'

export function hostileContract(name: 'Verdicts' | 'Wallet' | 'Impostor') {
  const file = fileURLToPath(new URL('contracts/Hostile.sol', import.meta.url))
  const { abi, evm } = solidity(file, { evmVersion: 'paris' }).contracts[name]!
  return { abi: abi as [], bytecode: evm.bytecode.object }
}
