/** From nothing to a contract in which our key may anchor: one transaction a step. */
import { createdAddress, deployment, FACTORY, registryAddress } from './addresses.ts'
import { authorized } from './authorized.ts'
import type { Chain } from './chain.ts'
import { ChainError } from './chain-error.ts'
import type { InFlight } from './journal.ts'
import type { LaneContext } from './lane-context.ts'
import { creationCode, decodeRegistration, encode, type Registration } from './registry.ts'
import { isCurrentRegistry } from './registry-versions.ts'
import { transact } from './transact.ts'

export interface ReadyContract {
  readonly contract: string
  readonly registration: Registration
}

/** The contract once all is ready; undefined while a step is under way. */
export async function readyContract(
  lane: LaneContext,
  replacing?: InFlight,
): Promise<ReadyContract | undefined> {
  const contract = await findContract(lane.chain, lane.contract, lane.record.contract)
  if (!contract) {
    await deploy(lane, replacing)
    return undefined
  }
  await lane.record.moveTo(contract)
  const registration = decodeRegistration(await lane.chain.call(contract, encode.registration(lane.logKey)))
  return (await authorized(lane, contract, registration, replacing)) ? { contract, registration } : undefined
}

/**
 * The configured address, else where the factory puts the contract, else where we created it before.
 * @throws ChainError WRONG_CONTRACT
 */
export async function findContract(
  chain: Chain,
  configured: string | undefined,
  known: string | undefined,
): Promise<string | undefined> {
  if (configured) {
    if (await isRegistry(chain, configured)) return configured
    throw new ChainError(
      'WRONG_CONTRACT',
      `there is no AnchorRegistry of this version at ${configured}`,
      'Correct `contract` of this chain in the configuration, or leave it out to have one deployed.',
    )
  }
  for (const address of [registryAddress, known]) {
    if (address && (await isRegistry(chain, address))) return address
  }
  return undefined
}

const isRegistry = async (chain: Chain, address: string) => isCurrentRegistry(await chain.code(address))

async function deploy(lane: LaneContext, replacing?: InFlight): Promise<void> {
  const { chain, signer } = lane
  if ((await chain.code(FACTORY)) !== '0x') {
    const purpose = { type: 'deploy', contract: registryAddress } as const
    return transact(lane, { to: FACTORY, data: deployment, purpose }, replacing)
  }
  const nonce = replacing?.nonce ?? (await chain.nonce(signer.address))
  const purpose = { type: 'deploy', contract: createdAddress(signer.address, nonce) } as const
  return transact(lane, { data: creationCode, purpose }, replacing)
}
