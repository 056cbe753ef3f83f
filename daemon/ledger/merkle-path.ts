/**
 * Which hashes make a root or a proof (RFC 9162 sections 2.1.1, 2.1.3.1 and 2.1.4.1), given a way to get the
 * hash of a perfect subtree. Pure: where the hashes lie is the caller's business.
 */
import type { Bytes } from '#platform'
import { LedgerError } from './errors.ts'
import { EMPTY_ROOT, nodeHash } from './merkle.ts'

/** Hash of the perfect subtree over leaves [index·2^level, (index+1)·2^level). */
export type NodeSource = (level: number, index: bigint) => Bytes

/** Root of the tree's first `size` leaves. */
export function treeRoot(size: bigint, node: NodeSource): Bytes {
  return size === 0n ? EMPTY_ROOT : rangeRoot(0n, size, node)
}

/** Inclusion proof of leaf `index` in the tree of `size` leaves, the leaf's sibling first. */
export function inclusionPath(index: bigint, size: bigint, node: NodeSource): Bytes[] {
  if (index < 0n || index >= size) {
    throw new LedgerError(
      'OUT_OF_RANGE',
      `no leaf ${index} in a tree of ${size}`,
      'Ask for an index below the size.',
    )
  }
  const path: Bytes[] = []
  let [start, end] = [0n, size]
  while (end - start > 1n) {
    const middle = start + splitPoint(end - start)
    if (index < middle) {
      path.push(rangeRoot(middle, end, node))
      end = middle
    } else {
      path.push(rangeRoot(start, middle, node))
      start = middle
    }
  }
  return path.reverse()
}

/** Proof that the tree of `oldSize` leaves is the beginning of that of `newSize`. */
export function consistencyPath(oldSize: bigint, newSize: bigint, node: NodeSource): Bytes[] {
  if (oldSize < 0n || oldSize > newSize) {
    throw new LedgerError(
      'OUT_OF_RANGE',
      `no way from size ${oldSize} to ${newSize}`,
      'Ask for a growing pair.',
    )
  }
  if (oldSize === 0n || oldSize === newSize) return []
  const path: Bytes[] = []
  let [start, end] = [0n, newSize]
  // Descend to the subtree that ends where the old tree ends.
  while (end !== oldSize) {
    const middle = start + splitPoint(end - start)
    if (oldSize <= middle) {
      path.push(rangeRoot(middle, end, node))
      end = middle
    } else {
      path.push(rangeRoot(start, middle, node))
      start = middle
    }
  }
  // Where that subtree is the whole old tree the verifier knows its root already.
  if (start !== 0n) path.push(rangeRoot(start, end, node))
  return path.reverse()
}

/** Root over leaves [start, end), where start is a multiple of the next power of two ≥ the length. */
export function rangeRoot(start: bigint, end: bigint, node: NodeSource): Bytes {
  const length = end - start
  const level = length.toString(2).length - 1
  if (length === 1n << BigInt(level)) return node(level, start >> BigInt(level))
  const middle = start + splitPoint(length)
  return nodeHash(rangeRoot(start, middle, node), rangeRoot(middle, end, node))
}

/** The largest power of two below `length` (which is above 1). */
export function splitPoint(length: bigint): bigint {
  return 1n << BigInt((length - 1n).toString(2).length - 1)
}
