/** Addresses and keys that follow from a hash: pure. */
import { hash } from 'node:crypto'
import { getCreate2Address, getCreateAddress } from 'ethers/address'
import { keccak256 } from 'ethers/crypto'
import { creationCode } from './registry.ts'

/**
 * The deterministic deployment factory (github.com/Arachnid/deterministic-deployment-proxy), on most chains at this
 * address: calldata = salt || creation code, and the contract's address depends on nothing else.
 */
export const FACTORY = '0x4e59b44847b379578588920ca78fbf26c0b4956c'
const SALT = `0x${'00'.repeat(32)}`

/** Where the factory puts the registry: the same on every chain that has the factory. */
export const registryAddress = getCreate2Address(FACTORY, SALT, keccak256(creationCode)).toLowerCase()

/** Calldata for the factory. */
export const deployment = SALT + creationCode.slice(2)

/** Where a plain creation puts a contract. */
export const createdAddress = (from: string, nonce: number) => getCreateAddress({ from, nonce }).toLowerCase()

/** SHA-256 of the origin line, 0x-hex. */
export const originHash = (origin: string) => `0x${hash('sha256', origin)}`

/** The log's name on chain: keccak256(abi.encode(owner, SHA-256(origin))). */
export const logKeyOf = (owner: string, origin: string) =>
  keccak256(`0x${owner.slice(2).toLowerCase().padStart(64, '0')}${originHash(origin).slice(2)}`)
