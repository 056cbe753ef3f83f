/** From nothing to a contract in which our log is registered and our key may anchor: one transaction a step. */
import { createdAddress, deployment, FACTORY, originHash, registryAddress } from './addresses.ts'
import type { Chain } from './chain.ts'
import { ChainError } from './chain-error.ts'
import type { InFlight } from './journal.ts'
import type { LaneContext } from './lane-context.ts'
import { creationCode, decodeRegistration, deployedCode, encode, FOREVER } from './registry.ts'
import { transact } from './transact.ts'

/** The contract's address once all is ready; undefined while a step is under way. */
export async function readyContract(lane: LaneContext, replacing?: InFlight): Promise<string | undefined> {
  const contract = await findContract(lane)
  if (!contract) {
    await deploy(lane, replacing)
    return undefined
  }
  if (lane.record.contract !== contract) {
    lane.record.contract = contract
    await lane.record.save()
  }
  const { signer, logKey, origin } = lane
  const registration = decodeRegistration(await lane.chain.call(contract, encode.registration(logKey)))
  if (!registration.owner) {
    const data = encode.register(originHash(origin), lane.policy)
    await transact(lane, { to: contract, data, purpose: { type: 'register' } }, replacing)
    return undefined
  }
  const authorized = registration.gateway === signer.address && registration.until * 1000 > lane.now()
  if (authorized) return contract
  if (registration.owner !== signer.address) {
    throw new ChainError(
      'NOT_AUTHORIZED',
      `${signer.address} may not anchor this log`,
      `Let its owner ${registration.owner} authorise the gateway: authorize(${logKey}, ${signer.address}, until).`,
    )
  }
  const data = encode.authorize(logKey, signer.address, FOREVER)
  await transact(lane, { to: contract, data, purpose: { type: 'authorize' } }, replacing)
  return undefined
}

/** The configured address, else where the factory puts the contract, else where we created it before. */
async function findContract(lane: LaneContext): Promise<string | undefined> {
  const { chain, contract, record } = lane
  if (contract) {
    if (await isRegistry(chain, contract)) return contract
    throw new ChainError(
      'WRONG_CONTRACT',
      `there is no AnchorRegistry of this version at ${contract} on chain ${lane.chainId}`,
      'Correct `contract` of this chain in the configuration, or leave it out to have one deployed.',
    )
  }
  for (const address of [registryAddress, record.contract]) {
    if (address && (await isRegistry(chain, address))) return address
  }
  return undefined
}

const isRegistry = async (chain: Chain, address: string) => (await chain.code(address)) === deployedCode

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
