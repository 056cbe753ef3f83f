/**
 * What the log's owner signs so that the gateway may anchor, or may no longer: EIP-712 documents of AnchorRegistry's
 * own types. Pure. Signatures are somebody else's bytes: only the one canonical form is taken, as by the contract.
 */

import { hash } from 'node:crypto'
import { TypedDataEncoder } from 'ethers/hash'
import { recoverAddress } from 'ethers/transaction'
import { type GatewayAuthorization, type GatewayRevocation, POLICIES } from './registry.ts'

/** Where a signature is good: one contract on one chain. */
export interface Domain {
  readonly chainId: number
  readonly contract: string
}

interface Field {
  readonly name: string
  readonly type: string
}
/** As `eth_signTypedData_v4` takes it: numbers as decimal strings. */
export interface TypedData {
  readonly types: Readonly<Record<string, readonly Field[]>>
  readonly primaryType: string
  readonly domain: Readonly<Record<string, string | number>>
  readonly message: Readonly<Record<string, string>>
}

/** SHA-256 of the log's verifier key, 0x-hex. */
export const vkeyHashOf = (verifierKey: string) => `0x${hash('sha256', verifierKey)}`

const fields = (list: string): readonly Field[] =>
  list.split(',').map((field) => {
    const [type, name] = field.split(' ')
    return { name: name!, type: type! }
  })
const DOMAIN = fields('string name,string version,uint256 chainId,address verifyingContract')
const AUTHORIZATION = fields(
  'address owner,address gateway,bytes32 logId,bytes32 vkeyHash,uint8 policy,uint64 notBefore,uint64 expiry,uint64 nonce',
)
const REVOCATION = fields('address owner,bytes32 logId,uint64 nonce')

export const authorizationDocument = (domain: Domain, given: GatewayAuthorization): TypedData =>
  typedData(domain, 'GatewayAuthorization', AUTHORIZATION, {
    owner: given.owner,
    gateway: given.gateway,
    logId: given.logId,
    vkeyHash: given.vkeyHash,
    policy: POLICIES.indexOf(given.policy).toString(),
    notBefore: given.notBefore.toString(),
    expiry: given.expiry.toString(),
    nonce: given.nonce.toString(),
  })

export const revocationDocument = (domain: Domain, given: GatewayRevocation): TypedData =>
  typedData(domain, 'GatewayRevocation', REVOCATION, {
    owner: given.owner,
    logId: given.logId,
    nonce: given.nonce.toString(),
  })

function typedData(
  { chainId, contract }: Domain,
  primaryType: string,
  type: readonly Field[],
  message: Readonly<Record<string, string>>,
): TypedData {
  return {
    types: { EIP712Domain: DOMAIN, [primaryType]: type },
    primaryType,
    domain: { name: 'AnchorRegistry', version: '1', chainId, verifyingContract: contract },
    message,
  }
}

/** What is signed of a document, 0x-hex. */
export function digestOf({ types, domain, message }: TypedData): string {
  const { EIP712Domain, ...own } = types
  return TypedDataEncoder.hash(domain, own as Record<string, Field[]>, message)
}

/** A key's signature: 65 bytes, v of 27 or 28, s in the lower half (EIP-2). */
const KEY_SIGNATURE = /^0x[0-9a-f]{128}1[bc]$/
const MAX_S = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n

/** Address of the key that signed, lower case; undefined where the bytes are no signature of a key's. */
export function signerOf(digest: string, signature: string): string | undefined {
  if (!KEY_SIGNATURE.test(signature) || BigInt(`0x${signature.slice(66, 130)}`) > MAX_S) return undefined
  try {
    return recoverAddress(digest, signature).toLowerCase()
  } catch {
    // r is no point of the curve.
    return undefined
  }
}
