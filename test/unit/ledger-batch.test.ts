import fc from 'fast-check'
import t from 'tap'
import { batchPath, MAX_BATCH, verifyBatch } from '../../daemon/ledger/batch-path.ts'
import { formatBatchProof, parseBatchProof } from '../../daemon/ledger/batch-proof.ts'
import { LedgerError } from '../../daemon/ledger/errors.ts'
import { EMPTY_ROOT, leafHash, nodeHash, rootOf, verifyInclusion } from '../../daemon/ledger/merkle.ts'
import { inclusionPath } from '../../daemon/ledger/merkle-path.ts'
import { openReader } from '../../daemon/ledger/reader.ts'
import { grow, leaf, temporaryDirectory } from './ledger-fixture.ts'

const treeOf = (size: number) => Array.from({ length: size }, (_, i) => leafHash(Buffer.from(`${i}`)))
const nodesOf = (leaves: Buffer[]) => (level: number, index: bigint) =>
  rootOf(leaves.slice(Number(index) << level, (Number(index) + 1) << level))

const sizeAndLeaves = fc
  .integer({ min: 1, max: 200 })
  .chain((size) =>
    fc.tuple(fc.constant(size), fc.uniqueArray(fc.nat(size - 1), { minLength: 1, maxLength: 40 })),
  )
  .map(([size, chosen]) => ({ size, indexes: chosen.sort((a, b) => a - b).map(BigInt) }))

const claimOf = (size: number, indexes: readonly bigint[]) => {
  const leaves = treeOf(size)
  const proof = batchPath(indexes, BigInt(size), nodesOf(leaves))
  const leafHashes = indexes.map((index) => leaves[Number(index)]!)
  return { leaves, claim: { indexes, size: BigInt(size), leafHashes, proof, root: rootOf(leaves) } }
}

t.test(
  'a batch proof proves what the single proofs prove, with no hash that could be computed',
  async (t) => {
    fc.assert(
      fc.property(sizeAndLeaves, ({ size, indexes }) => {
        const { leaves, claim } = claimOf(size, indexes)
        verifyBatch(claim)
        const known = new Set<string>()
        let singles = 0
        for (const index of indexes) {
          const proof = inclusionPath(index, BigInt(size), nodesOf(leaves))
          verifyInclusion({ ...claim, index, leafHash: leaves[Number(index)]!, proof })
          for (const hash of proof) known.add(hash.toString('hex'))
          singles += proof.length
        }
        // Each of its hashes stands in a single proof too, none twice, and those that two leaves share fall away.
        const batch = claim.proof.map((hash) => hash.toString('hex'))
        return (
          batch.every((hash) => known.has(hash)) &&
          new Set(batch).size === batch.length &&
          batch.length <= singles
        )
      }),
      { numRuns: 300 },
    )
    const { claim } = claimOf(
      200,
      Array.from({ length: 200 }, (_, i) => BigInt(i)),
    )
    t.equal(claim.proof.length, 0, 'of all leaves: none')
    const pair = claimOf(128, [64n, 65n]).claim
    t.equal(pair.proof.length, 6, 'of two siblings: one path, without its first hash')
  },
)

t.test('refuses every altered batch', async (t) => {
  const forged = fc.tuple(sizeAndLeaves, fc.nat(), fc.nat(7))
  fc.assert(
    fc.property(forged, ([{ size, indexes }, where, kind]) => {
      const { claim } = claimOf(size, indexes)
      const at = where % Math.max(1, claim.proof.length)
      const leafAt = where % indexes.length
      const flipped = (hash: Buffer) =>
        Buffer.from(hash.map((byte, i) => (i === where % 32 ? byte ^ 1 : byte)))
      const lies = [
        { ...claim, root: flipped(claim.root) },
        { ...claim, leafHashes: claim.leafHashes.with(leafAt, flipped(claim.leafHashes[leafAt]!)) },
        { ...claim, proof: [...claim.proof, EMPTY_ROOT] },
        claim.proof.length === 0
          ? { ...claim, size: claim.size + 1n }
          : { ...claim, proof: claim.proof.with(at, flipped(claim.proof[at]!)) },
        claim.proof.length === 0
          ? { ...claim, size: 1n << 62n }
          : { ...claim, proof: claim.proof.toSpliced(at, 1) },
        { ...claim, indexes: claim.indexes.with(leafAt, claim.indexes[leafAt]! + 1n) },
        { ...claim, leafHashes: claim.leafHashes.slice(1) },
        { ...claim, leafHashes: claim.leafHashes.with(leafAt, Buffer.alloc(31)) },
      ]
      try {
        verifyBatch(lies[kind]!)
        return false
      } catch (error) {
        return error instanceof LedgerError && ['BAD_PROOF', 'OUT_OF_RANGE'].includes(error.code)
      }
    }),
    { numRuns: 1000 },
  )
  const { claim } = claimOf(13, [3n, 7n])
  for (const indexes of [[], [7n, 3n], [3n, 3n], [-1n, 3n], [3n, 13n]]) {
    t.throws(() => verifyBatch({ ...claim, indexes }), { code: 'OUT_OF_RANGE' }, indexes.join())
    t.throws(() => batchPath(indexes, 13n, () => EMPTY_ROOT), { code: 'OUT_OF_RANGE' }, indexes.join())
  }
  const many = Array.from({ length: MAX_BATCH + 1 }, (_, i) => BigInt(i))
  t.throws(() => batchPath(many, 1n << 40n, () => EMPTY_ROOT), { code: 'OUT_OF_RANGE' })
})

t.test('the largest tree that can be claimed costs no more than its height a leaf', async (t) => {
  const size = (1n << 63n) - 1n
  const indexes = Array.from({ length: MAX_BATCH }, (_, i) => (size / BigInt(MAX_BATCH)) * BigInt(i))
  let asked = 0
  const proof = batchPath(indexes, size, () => {
    asked += 1
    return nodeHash(EMPTY_ROOT, EMPTY_ROOT)
  })
  t.ok(proof.length <= MAX_BATCH * 63 && asked <= MAX_BATCH * 63 + 63, `${proof.length} hashes`)
  const leafHashes = indexes.map(() => EMPTY_ROOT)
  t.throws(() => verifyBatch({ indexes, size, leafHashes, proof, root: EMPTY_ROOT }), { code: 'BAD_PROOF' })
})

t.test('is written and read in one spelling', async (t) => {
  const { claim } = claimOf(100, [0n, 5n, 99n])
  const checkpoint = 'log.example\n100\nAAAA\n\n— log.example AAAA\n'
  const text = formatBatchProof({ indexes: claim.indexes, hashes: claim.proof, checkpoint })
  t.same(parseBatchProof(text), { indexes: claim.indexes, hashes: claim.proof, checkpoint })
  const hash = claim.proof[0]!.toString('base64')
  for (const bad of [
    '',
    text.replace('@v1', '@v2'),
    text.replace(/index \d+\n/g, ''),
    text.replace('index 5', 'index 05'),
    text.replace('index 5', 'index -5'),
    text.replace('index 5', `index ${'9'.repeat(30)}`),
    text.replace(hash, `${hash}=`),
    text.replace(hash, hash.slice(4)),
    text.replace('\n\n', '\n'),
    text.replace(hash, `${hash}\n`.repeat(200).trimEnd()),
    text.replace('index 0', `${'index 0\n'.repeat(MAX_BATCH)}index 0`),
  ]) {
    t.throws(() => parseBatchProof(bad), { code: 'MALFORMED_PROOF' }, bad.slice(0, 60))
  }
})

t.test('comes out of a log on disk', async (t) => {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, 700)
  const reader = openReader(dir)
  const { size, root } = reader.checkpoint()!
  const indexes = [0, 255, 256, 300, 699]
  const proof = reader.batchProof(indexes.map(BigInt), size)
  verifyBatch({
    indexes: indexes.map(BigInt),
    size,
    root,
    proof,
    leafHashes: indexes.map((i) => leafHash(leaf(i))),
  })
  const old = reader.batchProof([0n, 255n], 300n)
  t.ok(old.length > 0)
  t.throws(() => reader.batchProof([0n], 701n), { code: 'OUT_OF_RANGE' })
})
