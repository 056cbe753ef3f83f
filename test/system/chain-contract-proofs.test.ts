import { randomInt } from 'node:crypto'
import { AbiCoder, Interface } from 'ethers'
import t, { type Test } from 'tap'
import { EMPTY_ROOT, verifyConsistency, verifyInclusion } from '../../daemon/ledger/merkle.ts'
import {
  type ConsistencyCase,
  changedConsistencies,
  changedInclusions,
  type InclusionCase,
  MOST,
  NO_HASH,
  random,
  rightConsistency,
  rightInclusion,
} from './adversarial-proofs.ts'
import { artefact, contractRig } from './contract-rig.ts'
import { hostileContract } from './hostile-contracts.ts'
import { consistency, type Hash, inclusion, isConsistent, isIncluded, leaf, root } from './naive-tree.ts'

t.setTimeout(120_000)
const { provider, address, create } = await contractRig(t)
const { abi: verdictsAbi, bytecode } = hostileContract('Verdicts')
const verdicts = new Interface(verdictsAbi)
const asker = await create(verdictsAbi, bytecode)
const abi = new Interface(artefact.abi as [])

/** Other cases each time; PROOFS_SEED makes a run's again. */
const seed = Number(process.env.PROOFS_SEED ?? randomInt(2 ** 40))
const r = random(seed)
t.comment(`PROOFS_SEED=${seed}`)

/** What one call may take: a block's gas, and a request that is no burden. */
const AT_ONCE = 250
const word = (value: bigint | Hash) => BigInt(value).toString(16).padStart(64, '0')
const question = (method: string, words: readonly (bigint | Hash)[], proof: readonly Hash[]) =>
  abi.getFunction(method)!.selector +
  [...words, BigInt(32 * (words.length + 1)), BigInt(proof.length), ...proof].map(word).join('')

/** The contract's verdict on each: true, false, or undefined where it reverts. */
async function ofContract(questions: readonly string[]): Promise<(boolean | undefined)[]> {
  const found: (boolean | undefined)[] = []
  for (let at = 0; at < questions.length; at += AT_ONCE) {
    const some = questions.slice(at, at + AT_ONCE)
    const answer = await provider.call({
      to: asker,
      data: verdicts.encodeFunctionData('ask', [address, some]),
      gasLimit: 30_000_000n,
    })
    const [bytes] = AbiCoder.defaultAbiCoder().decode(['bytes'], answer)
    for (const verdict of Buffer.from(bytes.slice(2), 'hex')) found.push([false, true, undefined][verdict])
  }
  return found
}

/** Larger trees have consistency proofs of 64 hashes, and no witness takes more than 63 (c2sp.org/tlog-witness). */
const LARGEST = 2n ** 62n
const bytes = (hash: Hash) => Buffer.from(hash.slice(2), 'hex')
const holds = (verify: () => void): boolean => {
  try {
    verify()
    return true
  } catch {
    return false
  }
}
const ofLedger = {
  inclusion: ({ size, root, index, leafHash, proof }: InclusionCase) =>
    holds(() =>
      verifyInclusion({
        size,
        index,
        root: bytes(root),
        leafHash: bytes(leafHash),
        proof: proof.map(bytes),
      }),
    ),
  consistency: ({ oldSize, oldRoot, newSize, newRoot, proof }: ConsistencyCase) =>
    holds(() =>
      verifyConsistency({
        oldSize,
        newSize,
        // Of an empty tree that grew the contract looks at no root.
        oldRoot: oldSize === 0n ? EMPTY_ROOT : bytes(oldRoot),
        newRoot: bytes(newRoot),
        proof: proof.map(bytes),
      }),
    ),
}

/** Cases on which not all verifiers agree, as text; `asked` are those that are the ledger's business. */
function disputed<Case>(
  cases: readonly Case[],
  contract: readonly (boolean | undefined)[],
  naive: (of: Case) => boolean,
  ledger: (of: Case) => boolean,
  asked: (of: Case) => boolean,
): { accepted: number; disputed: string[] } {
  let accepted = 0
  const found = cases.flatMap((one, i) => {
    const expected = naive(one)
    if (expected) accepted++
    const byLedger = asked(one) ? ledger(one) : expected
    if (contract[i] === expected && byLedger === expected) return []
    const text = JSON.stringify(one, (_, value) => (typeof value === 'bigint' ? `${value}` : value))
    return [`contract ${contract[i]}, definition ${expected}, ledger ${byLedger}: ${text}`]
  })
  return { accepted, disputed: found }
}

async function inclusions(t: Test, cases: readonly InclusionCase[]): Promise<number> {
  const asked = cases.map(({ size, root, index, leafHash, proof }) =>
    question('verifyInclusion', [size, root, index, leafHash], proof),
  )
  const result = disputed(
    cases,
    await ofContract(asked),
    ({ size, root, index, leafHash, proof }) => isIncluded(size, root, index, leafHash, proof),
    ofLedger.inclusion,
    ({ size }) => size <= LARGEST,
  )
  t.same(result.disputed.slice(0, 5), [], `${cases.length} cases`)
  return result.accepted
}

async function consistencies(t: Test, cases: readonly ConsistencyCase[]): Promise<number> {
  const asked = cases.map(({ oldSize, oldRoot, newSize, newRoot, proof }) =>
    question('verifyConsistency', [oldSize, oldRoot, newSize, newRoot], proof),
  )
  const result = disputed(
    cases,
    await ofContract(asked),
    ({ oldSize, oldRoot, newSize, newRoot, proof }) =>
      isConsistent(oldSize, oldRoot, newSize, newRoot, proof),
    ofLedger.consistency,
    ({ newSize, oldSize }) => newSize > 0n && newSize <= LARGEST && oldSize <= LARGEST,
  )
  t.same(result.disputed.slice(0, 5), [], `${cases.length} cases`)
  return result.accepted
}
t.test('every proof of every small tree holds, and what is changed of it holds where it must', async (t) => {
  const right: InclusionCase[] = []
  const extending: ConsistencyCase[] = []
  for (let n = 1; n <= 20; n++) {
    for (let i = 0; i < n; i++) {
      right.push({
        size: BigInt(n),
        root: root(0, n),
        index: BigInt(i),
        leafHash: leaf(i),
        proof: inclusion(i, 0, n),
      })
      const m = i + 1
      extending.push({
        oldSize: BigInt(m),
        oldRoot: root(0, m),
        newSize: BigInt(n),
        newRoot: root(0, n),
        proof: consistency(m, n),
      })
    }
  }
  t.equal(await inclusions(t, right), right.length)
  t.equal(await consistencies(t, extending), extending.length)
  await inclusions(
    t,
    right.filter(({ size }) => size <= 9n).flatMap((one) => changedInclusions(r, one)),
  )
  await consistencies(
    t,
    extending.filter(({ newSize }) => newSize <= 9n).flatMap((one) => changedConsistencies(r, one)),
  )
})

t.test('on trees of any size the contract says what the definition says', async (t) => {
  const right = Array.from({ length: 60 }, () => rightInclusion(r))
  t.equal(await inclusions(t, right), right.length)
  const extending = Array.from({ length: 60 }, () => rightConsistency(r))
  t.equal(await consistencies(t, extending), extending.length)
  const changed = right.flatMap((one) => changedInclusions(r, one))
  const accepted = await inclusions(t, changed)
  t.comment(`${accepted} of ${changed.length} changed inclusion proofs still hold`)
  const changedToo = extending.flatMap((one) => changedConsistencies(r, one))
  const acceptedToo = await consistencies(t, changedToo)
  t.comment(`${acceptedToo} of ${changedToo.length} changed consistency proofs still hold`)
})

t.test('shapes that verifiers were deceived with before', async (t) => {
  const [a, b] = [r.hash(), r.hash()]
  const of = (size: bigint, root: Hash, index: bigint, leafHash: Hash, proof: Hash[]) => ({
    size,
    root,
    index,
    leafHash,
    proof,
  })
  const extends_ = (oldSize: bigint, oldRoot: Hash, newSize: bigint, newRoot: Hash, proof: Hash[]) => ({
    oldSize,
    oldRoot,
    newSize,
    newRoot,
    proof,
  })
  const none: InclusionCase[] = [
    of(0n, a, 0n, a, []),
    of(0n, NO_HASH, 0n, NO_HASH, []),
    of(2n, a, 0n, a, []),
    of(2n, a, 1n, a, []),
    of(MOST, a, MOST - 1n, a, []),
    of(MOST, a, MOST, a, []),
    of(1n, a, 1n, a, []),
    of(3n, a, 2n, a, []),
    of(1n, a, 0n, b, []),
  ]
  t.equal(await inclusions(t, none), 0)
  t.equal(await inclusions(t, [of(1n, a, 0n, a, []), of(1n, NO_HASH, 0n, NO_HASH, [])]), 2)

  const wrong: ConsistencyCase[] = [
    extends_(1n, a, 2n, a, []),
    extends_(2n, a, 4n, a, []),
    extends_(2n, a, 4n, b, []),
    extends_(4n, a, 8n, a, [a]),
    extends_(3n, a, 4n, a, [a]),
    extends_(3n, a, 4n, b, [a, b]),
    extends_(6n, a, 8n, a, [a, a, a]),
    extends_(4n, a, 4n, b, []),
    extends_(4n, a, 4n, a, [a]),
    extends_(4n, a, 3n, a, []),
    extends_(1n, a, 0n, a, []),
    extends_(0n, a, 5n, a, [a]),
    extends_(0n, a, 0n, b, []),
    extends_(2n ** 63n, a, MOST, a, []),
    extends_(2n ** 63n, a, MOST, b, [b]),
    extends_(MOST - 1n, a, MOST, a, []),
  ]
  t.equal(await consistencies(t, wrong), 0)
  const right = [extends_(0n, a, 5n, b, []), extends_(4n, a, 4n, a, []), extends_(0n, a, 0n, a, [])]
  t.equal(await consistencies(t, right), 3)
})
