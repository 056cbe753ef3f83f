/** What takes a gateway's right away: a transaction of the owner's, or the owner's signature and anybody's transaction. */
import { digestOf, revocationDocument, type TypedData } from '../../daemon/chain-writer/delegation.ts'
import { encode } from '../../daemon/chain-writer/registry.ts'
import { assertSigned } from './authorization.ts'
import type { OwnedLog } from './owned-log.ts'

export interface Transaction {
  readonly chainId: number
  /** Absent: whoever pays. */
  readonly from?: string
  readonly to: string
  readonly data: string
}

/** The highest nonce: voids every authorisation that there will be. */
const LAST = 2n ** 64n - 1n

const wanted = async (log: OwnedLog, emergency: boolean) => {
  const { contract, registration } = await log.onChain()
  const { owner, logId, chainId } = log
  const given = { owner, logId, nonce: emergency ? LAST : registration.nonce }
  return { contract, given, document: revocationDocument({ chainId, contract }, given) }
}

/** The two ways for the owner. */
export async function revocation(
  log: OwnedLog,
  emergency: boolean,
): Promise<{ transaction: Transaction; typedData: TypedData }> {
  const { contract, document } = await wanted(log, emergency)
  const { chainId, owner, logId } = log
  return {
    transaction: { chainId, from: owner, to: contract, data: encode.revoke(logId) },
    typedData: document,
  }
}

/** The transaction that anybody may send. @throws CliError BAD_SIGNATURE */
export async function signedRevocation(
  log: OwnedLog,
  emergency: boolean,
  signature: string,
): Promise<Transaction> {
  const { contract, given, document } = await wanted(log, emergency)
  await assertSigned(log.owner, digestOf(document), signature, log.chain)
  return { chainId: log.chainId, to: contract, data: encode.revokeSigned(given, signature) }
}
