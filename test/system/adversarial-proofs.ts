/**
 * Merkle proofs to deceive a verifier with: right ones for trees of any size up to 2^64 - 1, and what becomes of them
 * when they are changed in one way of many. A proof of the right length leads to some root for any tree, so a tree of
 * 2^60 leaves needs none. Whether a changed proof still holds is for the verifiers to say.
 */
import { createHash } from 'node:crypto'
import { type Hash, node, rootByInclusion, rootsByConsistency } from './naive-tree.ts'

export interface InclusionCase {
  readonly size: bigint
  readonly root: Hash
  readonly index: bigint
  readonly leafHash: Hash
  readonly proof: readonly Hash[]
}

export interface ConsistencyCase {
  readonly oldSize: bigint
  readonly oldRoot: Hash
  readonly newSize: bigint
  readonly newRoot: Hash
  readonly proof: readonly Hash[]
}

export interface Random {
  /** From 0 to n - 1. */
  below(n: number): number
  /** Of so many bits at most. */
  bits(n: number): bigint
  hash(): Hash
  pick<T>(of: readonly T[]): T
}

/** The same numbers for the same seed. */
export function random(seed: number): Random {
  let count = 0
  const hash = (): Hash => `0x${createHash('sha256').update(`${seed} ${count++}`).digest('hex')}`
  const bits = (n: number) => BigInt(hash()) & ((1n << BigInt(n)) - 1n)
  const below = (n: number) => Number(bits(48) % BigInt(n))
  return { below, bits, hash, pick: (of) => of[below(of.length)]! }
}

export const MOST = 2n ** 64n - 1n
export const NO_HASH: Hash = `0x${'00'.repeat(32)}`
const fits = (n: bigint) => n >= 0n && n <= MOST

/** Small, about a power of two (2^48 and 2^64, the contract's own bounds, among them), or anything. */
export function someSize(r: Random): bigint {
  for (;;) {
    const size = r.pick([
      () => BigInt(r.below(40)),
      () => (1n << BigInt(r.pick([48, 63, 64, r.below(65)]))) + BigInt(r.below(5) - 2),
      () => r.bits(1 + r.below(64)),
    ])()
    if (size > 0n && fits(size)) return size
  }
}

/** As many hashes as it takes until `right` has an answer. */
function filled<T>(r: Random, right: (proof: readonly Hash[]) => T | undefined): [readonly Hash[], T] {
  const proof: Hash[] = []
  for (;;) {
    const found = right(proof)
    if (found !== undefined) return [proof, found]
    proof.push(r.hash())
  }
}

export function rightInclusion(r: Random): InclusionCase {
  const size = someSize(r)
  const index = r.pick([0n, size - 1n, size >> 1n, r.bits(64) % size])
  const leafHash = r.hash()
  const [proof, root] = filled(r, (proof) => rootByInclusion(index, size, leafHash, proof))
  return { size, root, index, leafHash, proof }
}

export function rightConsistency(r: Random): ConsistencyCase {
  const newSize = someSize(r)
  const halves = 1n << BigInt(newSize.toString(2).length - 1)
  const oldSize = r.pick([1n, newSize, newSize - 1n, halves, halves >> 1n, r.bits(64) % newSize])
  if (oldSize <= 0n) return { oldSize: 0n, oldRoot: r.hash(), newSize, newRoot: r.hash(), proof: [] }
  const start = r.hash()
  const [proof, [oldRoot, newRoot]] = filled(r, (proof) => rootsByConsistency(oldSize, newSize, start, proof))
  return { oldSize, oldRoot, newSize, newRoot, proof }
}

/** Ways to change the hashes of a proof; `known` are hashes that the case has elsewhere. */
function changedProofs(r: Random, proof: readonly Hash[], known: readonly Hash[]): (readonly Hash[])[] {
  const at = r.below(Math.max(1, proof.length))
  const there = proof[at]
  const bit = BigInt(there ?? 0) ^ (1n << BigInt(r.below(256)))
  const other = r.below(Math.max(1, proof.length))
  return [
    [],
    proof.slice(0, at),
    proof.slice(at),
    proof.toSpliced(at, 1),
    proof.toSpliced(at, 0, r.hash()),
    proof.toSpliced(at, 0, there ?? NO_HASH),
    [...proof, r.hash()],
    [...proof, NO_HASH],
    [...proof, ...proof],
    [NO_HASH, ...proof],
    [r.pick(known), ...proof],
    [...proof, r.pick(known)],
    [r.pick(known)],
    proof.toReversed(),
    proof.map(() => NO_HASH),
    proof.map(() => r.pick(known)),
    proof.concat(Array.from({ length: 66 - Math.min(66, proof.length) }, r.hash)),
    Array.from({ length: 100 }, r.hash),
    ...(there === undefined
      ? []
      : [
          proof.with(at, `0x${bit.toString(16).padStart(64, '0')}`),
          proof.with(at, NO_HASH),
          proof.with(at, r.pick(known)),
          proof.with(at, proof[other]!).with(other, there),
        ]),
  ]
}

const changedSizes = (r: Random, size: bigint): bigint[] =>
  [
    0n,
    1n,
    size - 1n,
    size + 1n,
    size << 1n,
    size >> 1n,
    size ^ (1n << BigInt(r.below(64))),
    size + (1n << BigInt(r.below(64))),
    someSize(r),
    MOST,
  ].filter(fits)

export function changedInclusions(r: Random, right: InclusionCase): InclusionCase[] {
  const { size, root, index, leafHash, proof } = right
  const known = [root, leafHash, ...proof]
  return [
    ...changedProofs(r, proof, known).map((proof) => ({ ...right, proof })),
    ...changedSizes(r, size).map((size) => ({ ...right, size })),
    ...changedSizes(r, index).map((index) => ({ ...right, index })),
    ...changedSizes(r, size).map((size) => ({
      ...right,
      size,
      proof: r.pick(changedProofs(r, proof, known)),
    })),
    { ...right, index: size },
    { ...right, root: leafHash, proof: [] },
    { ...right, root: leafHash },
    { ...right, leafHash: root, proof: [] },
    { ...right, leafHash: root },
    { ...right, root: NO_HASH },
    { ...right, root: r.hash() },
    { ...right, leafHash: r.hash() },
    // An inner node given out as a leaf, one level up.
    ...(proof.length > 0
      ? [
          {
            size: (size + 1n) >> 1n,
            root,
            index: index >> 1n,
            leafHash: (index & 1n) === 1n ? node(proof[0]!, leafHash) : node(leafHash, proof[0]!),
            proof: proof.slice(1),
          },
        ]
      : []),
  ]
}

export function changedConsistencies(r: Random, right: ConsistencyCase): ConsistencyCase[] {
  const { oldSize, oldRoot, newSize, newRoot, proof } = right
  const known = [oldRoot, newRoot, ...proof]
  return [
    ...changedProofs(r, proof, known).map((proof) => ({ ...right, proof })),
    ...changedSizes(r, oldSize).map((oldSize) => ({ ...right, oldSize })),
    ...changedSizes(r, newSize).map((newSize) => ({ ...right, newSize })),
    ...changedSizes(r, newSize).map((newSize) => ({
      ...right,
      newSize,
      proof: r.pick(changedProofs(r, proof, known)),
    })),
    { ...right, oldRoot: newRoot, newRoot: oldRoot },
    { ...right, oldSize: newSize, newSize: oldSize },
    { oldSize: newSize, oldRoot: newRoot, newSize: oldSize, newRoot: oldRoot, proof },
    { ...right, newRoot: oldRoot },
    { ...right, newRoot: oldRoot, proof: [] },
    { ...right, oldRoot: newRoot, proof: [] },
    { ...right, oldSize: newSize, proof: [] },
    { ...right, oldSize: newSize, oldRoot: newRoot, proof: [] },
    { ...right, oldSize: 0n, proof: [] },
    { ...right, oldSize: 0n, newSize: 0n, proof: [] },
    { ...right, oldRoot: NO_HASH },
    { ...right, newRoot: NO_HASH },
    { ...right, oldRoot: r.hash() },
    { ...right, newRoot: r.hash() },
    { ...right, newRoot: node(oldRoot, r.pick(known)), proof: [r.pick(known)] },
    { ...right, newRoot: node(oldRoot, oldRoot), proof: [oldRoot] },
    { ...right, newRoot: node(oldRoot, newRoot), proof: [oldRoot, newRoot] },
  ]
}
