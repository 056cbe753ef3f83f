/**
 * AnchorRegistry's calls, answers and events as bytes (Solidity ABI). All arguments are single words but one array,
 * so this needs neither an ABI library nor keccak: the committed artefact holds selectors and topics.
 */

import { garbage } from './chain-error.ts'
import artefact from './contracts/AnchorRegistry.json' with { type: 'json' }
import type { Log } from './values.ts'

const { selectors, topics } = artefact
/** Code that creates the contract; it has no constructor arguments. */
export const creationCode: string = artefact.bytecode
/** Code of the contract as it stands on a chain: there are no immutables, so it is the same everywhere. */
export const deployedCode: string = artefact.deployedBytecode

export const POLICIES = ['head', 'consistent', 'history'] as const
export type LogPolicy = (typeof POLICIES)[number]
/** That a stolen gateway key can't rewrite the log is worth a third more gas. */
export const DEFAULT_POLICY: LogPolicy = 'consistent'

/** `until` of an authorisation that doesn't end: the largest the contract takes (the year 36812). */
export const FOREVER = 2 ** 40 - 1

export interface Head {
  readonly size: bigint
  /** 64 lower-case hexadecimal digits. */
  readonly root: string
}

export interface Registration {
  /** Undefined: the log isn't registered. */
  readonly owner: string | undefined
  readonly policy: LogPolicy
  readonly gateway: string | undefined
  /** Unix seconds, inclusive. */
  readonly until: number
  /** What the next signed authorisation must have. */
  readonly nonce: bigint
}

/** An authorisation or a revocation as its owner signs it: EIP-712 messages of the contract's own types. */
export interface GatewayAuthorization {
  readonly owner: string
  readonly gateway: string
  /** SHA-256 of the origin, 0x-hex. */
  readonly logId: string
  /** SHA-256 of the log's verifier key, 0x-hex. */
  readonly vkeyHash: string
  readonly policy: LogPolicy
  /** Unix seconds, both inclusive. */
  readonly notBefore: number
  readonly expiry: number
  readonly nonce: bigint
}

export interface GatewayRevocation {
  readonly owner: string
  readonly logId: string
  readonly nonce: bigint
}

/** What only a signed authorisation says. */
type Signed = 'owner' | 'notBefore' | 'nonce'

export const encode = {
  /** For who sends the transaction, as the log's owner. */
  authorize: ({ logId, policy, gateway, expiry, vkeyHash }: Omit<GatewayAuthorization, Signed>) =>
    selectors.authorize +
    word(logId) +
    number(POLICIES.indexOf(policy)) +
    word(gateway) +
    number(expiry) +
    word(vkeyHash),
  authorizeSigned: (given: GatewayAuthorization, ownerSignature: string, gatewaySignature: string) =>
    selectors.authorizeSigned +
    word(given.owner) +
    word(given.gateway) +
    word(given.logId) +
    word(given.vkeyHash) +
    number(POLICIES.indexOf(given.policy)) +
    number(given.notBefore) +
    number(given.expiry) +
    number(given.nonce) +
    dynamic(8, ownerSignature, gatewaySignature),
  /** For who sends the transaction, as the log's owner. */
  revoke: (logId: string) => selectors.revoke + word(logId),
  revokeSigned: ({ owner, logId, nonce }: GatewayRevocation, ownerSignature: string) =>
    selectors.revokeSigned + word(owner) + word(logId) + number(nonce) + dynamic(3, ownerSignature),
  /** `root` and `proof` without 0x. */
  anchor: (logKey: string, size: bigint, root: string, proof: readonly string[]) =>
    selectors.anchor +
    word(logKey) +
    number(size) +
    word(root) +
    number(4 * 32) +
    number(proof.length) +
    proof.map(word).join(''),
  head: (logKey: string) => selectors.head + word(logKey),
  registration: (logKey: string) => selectors.registration + word(logKey),
}

export function decodeHead(data: string): Head {
  const [size, root] = words(data, 2)
  const value = BigInt(`0x${size}`)
  if (value >= 1n << 48n) throw garbage('the contract names an impossible tree size')
  return { size: value, root: root! }
}

export function decodeRegistration(data: string): Registration {
  const [owner, policy, gateway, until, nonce] = words(data, 5)
  const name = POLICIES[Number.parseInt(policy!, 16)]
  if (!name) throw garbage('the contract names an unknown policy')
  const end = BigInt(`0x${until}`)
  if (end > BigInt(FOREVER)) throw garbage('the contract names an impossible time')
  return {
    owner: address(owner!),
    policy: name,
    gateway: address(gateway!),
    until: Number(end),
    nonce: BigInt(`0x${nonce}`),
  }
}

export interface AnchoredEvent extends Head {
  readonly logKey: string
  readonly previousSize: bigint
  readonly transaction: string
  readonly block: number
  readonly blockHash: string
}

/** A contract's own word for a signature (EIP-1271): the selector of the question is also the answer. */
const VALID_SIGNATURE = '0x1626ba7e'
export const isValidSignatureCall = (digest: string, signature: string) =>
  VALID_SIGNATURE + word(digest) + dynamic(1, signature)
export const MAGIC_ANSWER = VALID_SIGNATURE.padEnd(66, '0')

/** Topics by which a node finds the events of a log; of one size, where given. */
export const anchoredTopics = (logKey: string, size?: bigint): string[] => [
  topics.Anchored,
  logKey,
  ...(size === undefined ? [] : [`0x${number(size)}`]),
]

/** The event in a log line; undefined where the line is none of this contract's. */
export function anchoredEvent(log: Log, contract: string): AnchoredEvent | undefined {
  const [topic, logKey, size] = log.topics
  if (log.address !== contract.toLowerCase() || topic !== topics.Anchored || !logKey || !size)
    return undefined
  const [root, previousSize] = words(log.data, 3)
  return {
    logKey,
    size: BigInt(size),
    root: root!,
    previousSize: BigInt(`0x${previousSize}`),
    transaction: log.transactionHash,
    block: log.blockNumber,
    blockHash: log.blockHash,
  }
}

/** Name of the contract's error in revert data. */
export function revertName(data: string | undefined): string | undefined {
  const selector = data?.slice(0, 10).toLowerCase()
  return Object.entries(selectors).find(([name, value]) => value === selector && /^[A-Z]/.test(name))?.[0]
}

const word = (hex: string) => hex.replace(/^0x/, '').toLowerCase().padStart(64, '0')
const number = (value: bigint | number) => word(value.toString(16))

/** Byte strings after `words` words of other arguments: an offset for each, then length and bytes of each. */
function dynamic(words: number, ...values: readonly string[]): string {
  let offset = (words + values.length) * 32
  const offsets: string[] = []
  const tails: string[] = []
  for (const value of values) {
    const hex = value.slice(2)
    const padded = hex.padEnd(Math.ceil(hex.length / 64) * 64, '0')
    offsets.push(number(offset))
    tails.push(number(hex.length / 2) + padded)
    offset += 32 + padded.length / 2
  }
  return [...offsets, ...tails].join('')
}

function words(data: string, count: number): string[] {
  if (data.length !== 2 + 64 * count)
    throw garbage(`the contract answered ${data.length / 2 - 1} bytes, not ${32 * count}`)
  return Array.from({ length: count }, (_, i) => data.slice(2 + 64 * i, 66 + 64 * i).toLowerCase())
}

function address(word: string): string | undefined {
  if (!/^0{24}/.test(word)) throw garbage('the contract names an impossible address')
  return /^0*$/.test(word) ? undefined : `0x${word.slice(24)}`
}
