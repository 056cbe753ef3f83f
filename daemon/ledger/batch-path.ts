/**
 * One proof for many leaves of one tree: the roots of the largest subtrees that hold none of them, from left to
 * right. With the leaves' own hashes they make the root, and no hash stands in it that could be computed. Pure.
 *
 * Threat model: as merkle.ts. Work and memory are bounded by the leaves claimed and the tree's height (63), before
 * a hash is looked at.
 */
import { type Bytes, equal } from '#platform'
import { LedgerError } from './errors.ts'
import { HASH_SIZE, nodeHash } from './merkle.ts'
import { type NodeSource, rangeRoot, splitPoint } from './merkle-path.ts'

/** Leaves that one proof may be of. */
export const MAX_BATCH = 4096

/** What a visit of the tree meets, from left to right: a leaf of the batch, or a subtree without one. */
interface Visitor<Node> {
  leaf(at: number): Node
  other(start: bigint, end: bigint): Node
  join(left: Node, right: Node): Node
}

/**
 * The hashes that prove the leaves at `indexes` of the tree of `size` leaves.
 * @throws LedgerError OUT_OF_RANGE; whatever `node` throws
 */
export function batchPath(indexes: readonly bigint[], size: bigint, node: NodeSource): Bytes[] {
  checkIndexes(indexes, size)
  const path: Bytes[] = []
  visit(indexes, size, {
    leaf: () => undefined,
    other: (start, end) => void path.push(rangeRoot(start, end, node)),
    join: () => undefined,
  })
  return path
}

export interface Batch {
  /** Ascending, none twice. */
  readonly indexes: readonly bigint[]
  readonly size: bigint
  /** In the order of `indexes`. */
  readonly leafHashes: readonly Uint8Array[]
  readonly proof: readonly Uint8Array[]
  readonly root: Uint8Array
}

/** Proves that each leaf stands at its index of the tree. @throws LedgerError BAD_PROOF, OUT_OF_RANGE */
export function verifyBatch({ indexes, size, leafHashes, proof, root }: Batch): void {
  checkIndexes(indexes, size)
  if (leafHashes.length !== indexes.length) throw badProof('it names another number of leaves')
  if ([...leafHashes, ...proof, root].some(({ length }) => length !== HASH_SIZE))
    throw badProof('a hash that is not of 32 bytes')
  let used = 0
  const computed = visit<Uint8Array>(indexes, size, {
    leaf: (at) => leafHashes[at]!,
    other() {
      const hash = proof[used++]
      if (hash === undefined) throw badProof('the proof is too short')
      return hash
    },
    join: nodeHash,
  })
  if (used !== proof.length) throw badProof('the proof is too long')
  if (!equal(computed, root)) throw badProof('the proof leads to another root')
}

/** Most hashes that a proof of so many leaves can have: a sibling a leaf and level. */
export const mostHashes = (leaves: number): number => leaves * 63

function visit<Node>(indexes: readonly bigint[], size: bigint, visitor: Visitor<Node>): Node {
  /** Of indexes, [from, to) lie in leaves [start, end). */
  const range = (start: bigint, end: bigint, from: number, to: number): Node => {
    if (from === to) return visitor.other(start, end)
    if (end - start === 1n) return visitor.leaf(from)
    const middle = start + splitPoint(end - start)
    let split = from
    while (split < to && indexes[split]! < middle) split++
    const left = range(start, middle, from, split)
    return visitor.join(left, range(middle, end, split, to))
  }
  return range(0n, size, 0, indexes.length)
}

/** Some, {@link MAX_BATCH} at most, each above the one before and inside the tree. */
function checkIndexes(indexes: readonly bigint[], size: bigint): void {
  const inOrder = indexes.every(
    (index, i) => index >= 0n && index < size && (i === 0 || index > indexes[i - 1]!),
  )
  if (inOrder && indexes.length > 0 && indexes.length <= MAX_BATCH) return
  throw new LedgerError(
    'OUT_OF_RANGE',
    `no batch of leaves of a tree of ${size}`,
    `Give 1 to ${MAX_BATCH} indexes below the size, ascending, none twice.`,
  )
}

function badProof(why: string): LedgerError {
  return new LedgerError(
    'BAD_PROOF',
    `no proof of these leaves: ${why}`,
    'Do not trust this document; ask the log for the proof again.',
  )
}
