/** AnchorRegistry on an EVM node of a test's own, with accounts that act on it. */
import { readFileSync } from 'node:fs'
import {
  AbiCoder,
  Contract,
  ContractFactory,
  type InterfaceAbi,
  JsonRpcProvider,
  keccak256,
  Wallet,
} from 'ethers'
import type { Test } from 'tap'
import { originHash } from '../../daemon/chain-writer/addresses.ts'
import { refusalOf } from '../../daemon/chain-writer/chain-error.ts'
import { revertName } from '../../daemon/chain-writer/registry.ts'
import { emptyDirectory, startAnvil } from './chain-anvil.ts'

export const artefact: { abi: InterfaceAbi; bytecode: string; deployedBytecode: string } = JSON.parse(
  readFileSync(new URL('../../daemon/chain-writer/contracts/AnchorRegistry.json', import.meta.url), 'utf8'),
)
export const HEAD = 0
export const CONSISTENT = 1
export const HISTORY = 2
export const FOREVER = 2n ** 40n - 1n
export const NOBODY = `0x${'00'.repeat(20)}`
export const NOTHING = `0x${'00'.repeat(32)}`
/** Of some log key. */
export const vkeyHash = `0x${'5e'.repeat(32)}`
export { originHash }

/** Name of the contract's error with which a call or transaction fails; undefined where it doesn't. */
export const revertOf = (sent: Promise<unknown>): Promise<string | undefined> =>
  sent.then(
    () => undefined,
    (error: { data?: string }) => revertName(error.data) ?? String(error),
  )

export const logKeyOf = (owner: string, origin: string): string =>
  keccak256(AbiCoder.defaultAbiCoder().encode(['address', 'bytes32'], [owner, originHash(origin)]))

export async function contractRig(t: Test) {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const provider = new JsonRpcProvider(anvil.url, undefined, {
    staticNetwork: true,
    cacheTimeout: -1,
    pollingInterval: 10,
  })
  t.teardown(() => provider.destroy())

  const account = async (byte: string) => {
    const wallet = new Wallet(`0x${byte.repeat(32)}`, provider)
    await anvil.call('anvil_setBalance', wallet.address, '0x56bc75e2d63100000')
    return wallet
  }
  const [owner, gateway, thief] = [await account('11'), await account('22'), await account('33')]

  /** Puts a contract on the chain; its address. */
  const create = async (abi: InterfaceAbi, bytecode: string, ...args: unknown[]) => {
    const deployed = await new ContractFactory(abi, bytecode, owner).deploy(...args)
    await deployed.waitForDeployment()
    return deployed.getAddress()
  }
  const address = await create(artefact.abi, artefact.bytecode)
  const as = (wallet: Wallet) => new Contract(address, artefact.abi, wallet)

  /** Sends and says what it cost; rejects with the contract's error. */
  const run = async (wallet: Wallet, method: string, ...args: unknown[]) => {
    const receipt = await (await as(wallet).getFunction(method)(...args)).wait()
    return { gas: Number(receipt.gasUsed), logs: receipt.logs.length }
  }
  /** As a call in a block of that time: what a transaction in it would do. Rejects as {@link run}. */
  const runAt = (time: number, wallet: Wallet, method: string, ...args: unknown[]) => {
    const data = as(wallet).interface.encodeFunctionData(method, args)
    const block = { time: `0x${time.toString(16)}` }
    return anvil
      .call('eth_call', { from: wallet.address, to: address, data }, 'latest', {}, block)
      .catch((error: unknown) => Promise.reject(refusalOf(error) ?? error))
  }
  const call = (method: string, ...args: unknown[]) => as(owner).getFunction(method)(...args)

  /** A log of the owner's in which the gateway may anchor; its key. */
  const register = async (origin: string, policy: number, until: bigint | number = FOREVER) => {
    await run(owner, 'authorize', originHash(origin), policy, gateway.address, until, vkeyHash)
    return logKeyOf(owner.address, origin)
  }
  const now = async () => (await provider.getBlock('latest'))!.timestamp

  return {
    anvil,
    provider,
    account,
    owner,
    gateway,
    thief,
    create,
    address,
    as,
    run,
    runAt,
    call,
    register,
    now,
  }
}
