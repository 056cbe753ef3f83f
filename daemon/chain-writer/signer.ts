/** The gateway's key: signs transactions, and its own consent to anchor for an owner. It holds gas money only. */
import { SigningKey } from 'ethers/crypto'
import { computeAddress, Transaction } from 'ethers/transaction'
import type { Fees } from './fees.ts'

export interface UnsignedTransaction {
  readonly chainId: number
  readonly nonce: number
  /** Absent: the transaction creates a contract. */
  readonly to?: string
  readonly data: string
  readonly gasLimit: bigint
  readonly fees: Fees
}

export interface Signer {
  /** Lower-case 0x-hex. */
  readonly address: string
  sign(transaction: UnsignedTransaction): { readonly raw: string; readonly hash: string }
  /** 65 bytes, 0x-hex, over the digest of an authorisation that the owner has signed. */
  countersign(digest: string): string
}

/** @param scalar 32 bytes, a valid secp256k1 private key */
export function gatewaySigner(scalar: Uint8Array): Signer {
  const key = new SigningKey(scalar)
  return {
    address: computeAddress(key.publicKey).toLowerCase(),
    sign({ fees, to, ...fields }) {
      const transaction = Transaction.from({ ...fields, ...fees, to: to ?? null })
      transaction.signature = key.sign(transaction.unsignedHash)
      return { raw: transaction.serialized, hash: transaction.hash! }
    },
    countersign: (digest) => key.sign(digest).serialized,
  }
}

/** The fees in a signed transaction, to raise them for its replacement. */
export function feesOf(raw: string): Fees {
  const { type, gasPrice, maxFeePerGas, maxPriorityFeePerGas } = Transaction.from(raw)
  return type === 2
    ? { type: 2, maxFeePerGas: maxFeePerGas ?? 0n, maxPriorityFeePerGas: maxPriorityFeePerGas ?? 0n }
    : { type: 0, gasPrice: gasPrice ?? 0n }
}
