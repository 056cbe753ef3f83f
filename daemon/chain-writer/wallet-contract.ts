/** Contracts that sign for an owner (EIP-1271): smart wallets, multisignature accounts. */
import type { Chain } from './chain.ts'
import { ChainError } from './chain-error.ts'
import { isValidSignatureCall, MAGIC_ANSWER } from './registry.ts'

/** Whether the contract at `owner` takes the signature for its own; false where there is none. @throws ChainError */
export async function agrees(
  chain: Chain,
  owner: string,
  digest: string,
  signature: string,
): Promise<boolean> {
  if ((await chain.code(owner)) === '0x') return false
  try {
    const answer = await chain.call(owner, isValidSignatureCall(digest, signature))
    return answer.slice(0, 66) === MAGIC_ANSWER
  } catch (error) {
    if (error instanceof ChainError && error.code === 'REVERTED') return false
    throw error
  }
}
