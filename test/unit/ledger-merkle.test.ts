import fc from 'fast-check'
import t from 'tap'
import {
  EMPTY_ROOT,
  leafHash,
  nodeHash,
  rootOf,
  verifyConsistency,
  verifyInclusion,
} from '../../daemon/ledger/merkle.ts'
import { consistencyPath, inclusionPath, treeRoot } from '../../daemon/ledger/merkle-path.ts'

// The Certificate Transparency reference tree (RFC 6962; certificate-transparency/cpp/merkletree tests).
const INPUTS = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
]
const ROOTS = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
]
const LEAVES = INPUTS.map((hex) => leafHash(Buffer.from(hex, 'hex')))

/** MTH, PATH and PROOF word for word from RFC 6962 section 2.1, to compare with. */
const naive = {
  split: (n: number): number => {
    let k = 1
    while (k * 2 < n) k *= 2
    return k
  },
  root(d: Buffer[]): Buffer {
    if (d.length === 0) return EMPTY_ROOT
    if (d.length === 1) return d[0]!
    const k = naive.split(d.length)
    return nodeHash(naive.root(d.slice(0, k)), naive.root(d.slice(k)))
  },
  path(m: number, d: Buffer[]): Buffer[] {
    if (d.length === 1) return []
    const k = naive.split(d.length)
    return m < k
      ? [...naive.path(m, d.slice(0, k)), naive.root(d.slice(k))]
      : [...naive.path(m - k, d.slice(k)), naive.root(d.slice(0, k))]
  },
  proof(m: number, d: Buffer[], whole = true): Buffer[] {
    if (m === d.length) return whole ? [] : [naive.root(d)]
    const k = naive.split(d.length)
    return m <= k
      ? [...naive.proof(m, d.slice(0, k), whole), naive.root(d.slice(k))]
      : [...naive.proof(m - k, d.slice(k), false), naive.root(d.slice(0, k))]
  },
}

const nodesOf = (leaves: Buffer[]) => (level: number, index: bigint) =>
  naive.root(leaves.slice(Number(index) << level, (Number(index) + 1) << level))
const treeOf = (n: number) => Array.from({ length: n }, (_, i) => leafHash(Buffer.from(`${i}`)))
const hex = (hashes: Buffer[]) => hashes.map((hash) => hash.toString('hex'))

t.test('makes the roots of the reference tree', async (t) => {
  t.equal(EMPTY_ROOT.toString('hex'), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
  for (const [i, root] of ROOTS.entries()) {
    t.equal(rootOf(LEAVES.slice(0, i + 1)).toString('hex'), root)
    t.equal(treeRoot(BigInt(i + 1), nodesOf(LEAVES)).toString('hex'), root)
  }
})

t.test('makes the proofs of the reference tree', async (t) => {
  t.same(hex(inclusionPath(0n, 8n, nodesOf(LEAVES))), [
    '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
    '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
    '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
  ])
  t.same(hex(consistencyPath(1n, 8n, nodesOf(LEAVES))), hex(inclusionPath(0n, 8n, nodesOf(LEAVES))))
})

const sizeAndIndex = fc
  .integer({ min: 1, max: 130 })
  .chain((size) => fc.tuple(fc.constant(size), fc.nat(size - 1)))

t.test('inclusion proofs are those of the RFC, and verify', async () => {
  fc.assert(
    fc.property(sizeAndIndex, ([size, index]) => {
      const leaves = treeOf(size)
      const proof = inclusionPath(BigInt(index), BigInt(size), nodesOf(leaves))
      const claim = {
        index: BigInt(index),
        size: BigInt(size),
        leafHash: leaves[index]!,
        root: rootOf(leaves),
      }
      verifyInclusion({ ...claim, proof })
      return hex(proof).join() === hex(naive.path(index, leaves)).join()
    }),
    { numRuns: 150 },
  )
})

t.test('consistency proofs are those of the RFC, and verify', async () => {
  fc.assert(
    fc.property(sizeAndIndex, ([size, before]) => {
      const leaves = treeOf(size)
      const old = before + 1
      const proof = consistencyPath(BigInt(old), BigInt(size), nodesOf(leaves))
      verifyConsistency({
        oldSize: BigInt(old),
        newSize: BigInt(size),
        oldRoot: rootOf(leaves.slice(0, old)),
        newRoot: rootOf(leaves),
        proof,
      })
      return hex(proof).join() === hex(naive.proof(old, leaves)).join()
    }),
    { numRuns: 150 },
  )
})

/** What a liar can do to a list of hashes: alter, drop, add, swap. */
function lies(proof: Buffer[]): Buffer[][] {
  const altered = proof.map((hash, i) =>
    proof.with(i, Buffer.from(hash.map((byte, at) => (at === i ? byte ^ 1 : byte)))),
  )
  const dropped = proof.map((_, i) => proof.toSpliced(i, 1))
  const swapped = proof.slice(1).map((hash, i) => proof.with(i, hash).with(i + 1, proof[i]!))
  const added = [
    [...proof, EMPTY_ROOT],
    [EMPTY_ROOT, ...proof],
    [...proof, Buffer.alloc(31)],
  ]
  return [...altered, ...dropped, ...swapped, ...added, Array.from({ length: 70 }, () => EMPTY_ROOT)]
}

t.test('refuses every altered inclusion proof, index, size and root', async (t) => {
  const leaves = treeOf(13)
  for (const index of [0, 5, 12]) {
    const claim = { index: BigInt(index), size: 13n, leafHash: leaves[index]!, root: rootOf(leaves) }
    const proof = naive.path(index, leaves)
    verifyInclusion({ ...claim, proof })
    for (const lie of lies(proof))
      t.throws(() => verifyInclusion({ ...claim, proof: lie }), { code: 'BAD_PROOF' })
    t.throws(() => verifyInclusion({ ...claim, proof, root: EMPTY_ROOT }), { code: 'BAD_PROOF' })
    t.throws(() => verifyInclusion({ ...claim, proof, index: claim.index ^ 1n }), {
      code: /BAD_PROOF|OUT_OF_RANGE/,
    })
    t.throws(() => verifyInclusion({ ...claim, proof, size: 200n }), { code: 'BAD_PROOF' })
    t.throws(() => verifyInclusion({ ...claim, proof, index: -1n }), { code: 'OUT_OF_RANGE' })
    t.throws(() => verifyInclusion({ ...claim, proof, index: 13n }), { code: 'OUT_OF_RANGE' })
  }
})

t.test('refuses every altered consistency proof, and trees that shrink', async (t) => {
  const leaves = treeOf(13)
  const newRoot = rootOf(leaves)
  for (const old of [1, 4, 6, 8, 12]) {
    const claim = { oldSize: BigInt(old), newSize: 13n, oldRoot: rootOf(leaves.slice(0, old)), newRoot }
    const proof = naive.proof(old, leaves)
    verifyConsistency({ ...claim, proof })
    for (const lie of lies(proof))
      t.throws(() => verifyConsistency({ ...claim, proof: lie }), { code: 'BAD_PROOF' })
    t.throws(() => verifyConsistency({ ...claim, proof, oldRoot: newRoot }), { code: 'BAD_PROOF' })
    t.throws(() => verifyConsistency({ ...claim, proof, newRoot: EMPTY_ROOT }), { code: 'BAD_PROOF' })
    t.throws(() => verifyConsistency({ ...claim, proof, oldSize: 14n }), { code: 'OUT_OF_RANGE' })
  }
  const empty = { oldSize: 0n, oldRoot: EMPTY_ROOT, newSize: 13n, newRoot }
  verifyConsistency({ ...empty, proof: [] })
  t.throws(() => verifyConsistency({ ...empty, proof: [newRoot] }), { code: 'BAD_PROOF' })
  t.throws(() => verifyConsistency({ ...empty, oldRoot: newRoot, proof: [] }), { code: 'BAD_PROOF' })
  const same = { oldSize: 13n, newSize: 13n, newRoot, proof: [] }
  verifyConsistency({ ...same, oldRoot: newRoot })
  t.throws(() => verifyConsistency({ ...same, oldRoot: EMPTY_ROOT }), { code: 'BAD_PROOF' })
})

t.test('asks for no proof outside the tree', async (t) => {
  t.throws(() => inclusionPath(8n, 8n, nodesOf(LEAVES)), { code: 'OUT_OF_RANGE' })
  t.throws(() => inclusionPath(-1n, 8n, nodesOf(LEAVES)), { code: 'OUT_OF_RANGE' })
  t.throws(() => consistencyPath(9n, 8n, nodesOf(LEAVES)), { code: 'OUT_OF_RANGE' })
})
