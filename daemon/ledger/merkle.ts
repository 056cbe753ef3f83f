/**
 * Merkle tree hashes and proofs of RFC 6962 section 2.1 and RFC 9162 section 2.1. Pure; sizes are bigints.
 *
 * Threat model: proofs come from whoever wants to be believed. Each function fails closed: a proof that is too
 * short, too long or of other hashes throws LedgerError BAD_PROOF, a size or index out of range OUT_OF_RANGE.
 */
import { type Bytes, concat, equal, sha256 } from '#platform'
import { LedgerError } from './errors.ts'

export const HASH_SIZE = 32
const LEAF_PREFIX = Uint8Array.of(0x00)
const NODE_PREFIX = Uint8Array.of(0x01)

/** Root of the tree without leaves: SHA-256 of nothing. */
export const EMPTY_ROOT = sha256(new Uint8Array())

export function leafHash(leaf: Uint8Array): Bytes {
  return sha256(concat([LEAF_PREFIX, leaf]))
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Bytes {
  return sha256(concat([NODE_PREFIX, left, right]))
}

/** Root over leaf hashes (or over roots of equal, perfect subtrees). */
export function rootOf(hashes: readonly Bytes[]): Bytes {
  if (hashes.length === 0) return EMPTY_ROOT
  let level = hashes
  while (level.length > 1) {
    const above: Bytes[] = []
    for (let i = 0; i + 1 < level.length; i += 2) above.push(nodeHash(level[i]!, level[i + 1]!))
    if (level.length % 2 === 1) above.push(level[level.length - 1]!)
    level = above
  }
  return level[0]!
}

/** Longest proof of any tree up to 2^63 leaves; a witness takes as many (c2sp.org/tlog-witness). */
export const MAX_PROOF = 63

export interface Inclusion {
  readonly index: bigint
  readonly size: bigint
  readonly leafHash: Uint8Array
  /** The leaf's sibling first. */
  readonly proof: readonly Uint8Array[]
  readonly root: Uint8Array
}

/** Proves that a leaf stands at `index` of the tree of `size` leaves (RFC 9162 section 2.1.3.2). */
export function verifyInclusion({ index, size, leafHash, proof, root }: Inclusion): void {
  if (index < 0n || index >= size) {
    throw new LedgerError(
      'OUT_OF_RANGE',
      `index ${index} of a tree of ${size}`,
      'Take the proof of another checkpoint.',
    )
  }
  checkHashes([leafHash, ...proof, root])
  let fn = index
  let sn = size - 1n
  let computed: Uint8Array = leafHash
  for (const sibling of proof) {
    if (sn === 0n) throw badProof('the inclusion proof is too long')
    if ((fn & 1n) === 1n || fn === sn) {
      computed = nodeHash(sibling, computed)
      while ((fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n
        sn >>= 1n
      }
    } else {
      computed = nodeHash(computed, sibling)
    }
    fn >>= 1n
    sn >>= 1n
  }
  if (sn !== 0n) throw badProof('the inclusion proof is too short')
  if (!equal(computed, root)) throw badProof('the inclusion proof leads to another root')
}

export interface Consistency {
  readonly oldSize: bigint
  readonly newSize: bigint
  readonly oldRoot: Uint8Array
  readonly newRoot: Uint8Array
  readonly proof: readonly Uint8Array[]
}

/** Proves that the old tree is the beginning of the new one (RFC 9162 section 2.1.4.2). */
export function verifyConsistency({ oldSize, newSize, oldRoot, newRoot, proof }: Consistency): void {
  if (oldSize < 0n || oldSize > newSize) {
    throw new LedgerError(
      'OUT_OF_RANGE',
      `a tree of ${newSize} cannot extend one of ${oldSize}`,
      'Swap the two trees.',
    )
  }
  checkHashes([oldRoot, newRoot, ...proof])
  if (oldSize === 0n || oldSize === newSize) {
    if (proof.length > 0) throw badProof('the consistency proof should be empty')
    if (oldSize === 0n && !equal(oldRoot, EMPTY_ROOT)) throw badProof('the empty tree has another root')
    if (oldSize === newSize && !equal(oldRoot, newRoot)) throw badProof('two roots for one size')
    return
  }
  const perfect = (oldSize & (oldSize - 1n)) === 0n
  const path = perfect ? [oldRoot, ...proof] : proof
  let fn = oldSize - 1n
  let sn = newSize - 1n
  while ((fn & 1n) === 1n) {
    fn >>= 1n
    sn >>= 1n
  }
  const [first, ...rest] = path
  if (first === undefined) throw badProof('the consistency proof is too short')
  let fr = first
  let sr = first
  for (const node of rest) {
    if (sn === 0n) throw badProof('the consistency proof is too long')
    if ((fn & 1n) === 1n || fn === sn) {
      fr = nodeHash(node, fr)
      sr = nodeHash(node, sr)
      while ((fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n
        sn >>= 1n
      }
    } else {
      sr = nodeHash(sr, node)
    }
    fn >>= 1n
    sn >>= 1n
  }
  if (sn !== 0n) throw badProof('the consistency proof is too short')
  if (!equal(fr, oldRoot)) throw badProof('the consistency proof leads to another old root')
  if (!equal(sr, newRoot)) throw badProof('the consistency proof leads to another new root')
}

/** At most {@link MAX_PROOF} hashes of a proof and the two that the caller knows, 32 bytes each. */
function checkHashes(hashes: readonly Uint8Array[]): void {
  if (hashes.length > MAX_PROOF + 2) throw badProof(`a proof of more than ${MAX_PROOF} hashes`)
  if (hashes.some((value) => value.length !== HASH_SIZE)) throw badProof('a hash that is not of 32 bytes')
}

function badProof(message: string): LedgerError {
  return new LedgerError('BAD_PROOF', message, 'Do not trust this document; ask the log for the proof again.')
}
