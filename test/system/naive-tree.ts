/**
 * Merkle trees straight from the recursive definitions of RFC 6962 section 2.1, sharing nothing with the product: trees
 * of named leaves with their proofs, and the roots that a proof leads to, by running the definitions backwards.
 */
import { createHash } from 'node:crypto'

/** 0x-hex, 32 bytes. */
export type Hash = string

const sha256 = (...parts: (string | Buffer)[]): Hash => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(typeof part === 'string' ? Buffer.from(part.slice(2), 'hex') : part)
  return `0x${hash.digest('hex')}`
}
export const node = (left: Hash, right: Hash): Hash => sha256('0x01', left, right)
export const leaf = (i: number): Hash => sha256('0x00', Buffer.from(`leaf ${i}`))

/** The largest power of two below n, for n > 1. */
const split = (n: bigint): bigint => 1n << BigInt((n - 1n).toString(2).length - 1)
const halfOf = (n: number): number => Number(split(BigInt(n)))

const roots = new Map<string, Hash>()
/** Of the leaves `from` … `from + count - 1`. */
export function root(from: number, count: number): Hash {
  if (count === 1) return leaf(from)
  const key = `${from}/${count}`
  const k = halfOf(count)
  const hash = roots.get(key) ?? node(root(from, k), root(from + k, count - k))
  roots.set(key, hash)
  return hash
}

export function inclusion(m: number, from: number, n: number): Hash[] {
  if (n === 1) return []
  const k = halfOf(n)
  return m < k
    ? [...inclusion(m, from, k), root(from + k, n - k)]
    : [...inclusion(m - k, from + k, n - k), root(from, k)]
}

export function consistency(m: number, n: number, from = 0, whole = true): Hash[] {
  if (m === n) return whole ? [] : [root(from, n)]
  const k = halfOf(n)
  return m <= k
    ? [...consistency(m, k, from, whole), root(from + k, n - k)]
    : [...consistency(m - k, n - k, from + k, false), root(from, k)]
}

/** The root that an inclusion proof leads to; undefined where it has not exactly the hashes that the sizes ask for. */
export function rootByInclusion(
  index: bigint,
  size: bigint,
  leafHash: Hash,
  proof: readonly Hash[],
): Hash | undefined {
  if (index >= size) return undefined
  if (size === 1n) return proof.length === 0 ? leafHash : undefined
  const last = proof.at(-1)
  if (last === undefined) return undefined
  const k = split(size)
  const right = index >= k
  const below = rootByInclusion(right ? index - k : index, right ? size - k : k, leafHash, proof.slice(0, -1))
  if (below === undefined) return undefined
  return right ? node(last, below) : node(below, last)
}

/** Old and new root that a consistency proof leads to; undefined as for {@link rootByInclusion}. */
export function rootsByConsistency(
  m: bigint,
  n: bigint,
  oldRoot: Hash,
  proof: readonly Hash[],
  whole = true,
): readonly [Hash, Hash] | undefined {
  if (m === n) {
    if (whole) return proof.length === 0 ? [oldRoot, oldRoot] : undefined
    return proof.length === 1 ? [proof[0]!, proof[0]!] : undefined
  }
  const last = proof.at(-1)
  if (last === undefined) return undefined
  const k = split(n)
  const rest = proof.slice(0, -1)
  if (m <= k) {
    const left = rootsByConsistency(m, k, oldRoot, rest, whole)
    return left && [left[0], node(left[1], last)]
  }
  const right = rootsByConsistency(m - k, n - k, oldRoot, rest, false)
  return right && [node(last, right[0]), node(last, right[1])]
}

export const isIncluded = (size: bigint, of: Hash, index: bigint, leafHash: Hash, proof: readonly Hash[]) =>
  rootByInclusion(index, size, leafHash, proof) === of

/** From the empty tree, and to the same tree, only the empty proof is right. */
export function isConsistent(m: bigint, oldRoot: Hash, n: bigint, newRoot: Hash, proof: readonly Hash[]) {
  if (m > n) return false
  if (m === n) return proof.length === 0 && oldRoot === newRoot
  if (m === 0n) return proof.length === 0
  const found = rootsByConsistency(m, n, oldRoot, proof)
  return found !== undefined && found[0] === oldRoot && found[1] === newRoot
}
