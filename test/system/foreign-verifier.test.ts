/**
 * Our logs under a verifier that shares no code with us (golang.org/x/mod/sumdb): it accepts what we make, and of a
 * thousand documents that were tampered with both refuse each.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  parseSignedCheckpoint,
  type SignedCheckpoint,
  verifyCheckpoint,
} from '../../daemon/ledger/checkpoint.ts'
import { cosigner, verifyCosigned } from '../../daemon/ledger/cosignature.ts'
import { decodeUtf8 } from '../../daemon/ledger/encoding.ts'
import { LedgerError } from '../../daemon/ledger/errors.ts'
import {
  EMPTY_ROOT,
  leafHash,
  nodeHash,
  verifyConsistency,
  verifyInclusion,
} from '../../daemon/ledger/merkle.ts'
import { consistencyPath, inclusionPath, type NodeSource, treeRoot } from '../../daemon/ledger/merkle-path.ts'
import { parseVerifierKey } from '../../daemon/ledger/note.ts'
import { parseTlogProof, tlogProof, verifyTlogProof } from '../../daemon/ledger/proof.ts'
import { openReader } from '../../daemon/ledger/reader.ts'
import { TILE_WIDTH, tilePath, widthAt } from '../../daemon/ledger/tile-path.ts'
import { flipBit, mutatedFiles, mutatedHashes, mutatedNotes } from '../foreign-verifier/mutations.ts'
import { ForeignVerifier, type Question } from '../foreign-verifier/verifier.ts'
import { appendLeaves, fsck, leaf, ORIGIN, open, signer, temporaryDirectory } from '../unit/ledger-fixture.ts'
import { Random } from './differential/random.ts'

t.setTimeout(240_000)

const foreign = ForeignVerifier.build()
t.teardown(() => foreign.end())
const key = signer.verifierKey
const random = new Random(5)

/** Around each edge of a tile of each level, up to two level-1 tiles and a level-2 one. */
const SIZES = [1, 2, 3, 7, 255, 256, 257, 511, 600, 1000, 4097, 65_535, 65_536, 65_537, 70_000]
const dir = temporaryDirectory(t)
const small = temporaryDirectory(t)
const checkpoints: SignedCheckpoint[] = []

const noteOf = (checkpoint: SignedCheckpoint) => Buffer.from(checkpoint.note)
const accepted = async (t: Test, op: string, question: Question, what: string) => {
  const answer = await foreign.ask(op, question)
  t.ok(answer.ok, `${what}${answer.error === undefined ? '' : `: ${answer.error}`}`)
  return answer
}

t.test('it accepts checkpoint, tiles and entries at every size of a growing log', async (t) => {
  for (const [i, size] of SIZES.entries()) {
    const ledger = await open(dir, { checkpointIntervalMs: 60_000 })
    await appendLeaves(ledger, SIZES[i - 1] ?? 0, size)
    await ledger.close()
    checkpoints.push(openReader(dir).checkpoint()!)
    const answer = await accepted(t, 'log', { key, log: dir, entries: true }, `${size} leaves`)
    t.equal(answer.size, BigInt(size))
    // At least each tile of level 0 was read and proved to be in the tree.
    t.ok(answer.tiles >= Math.ceil(size / TILE_WIDTH), `${answer.tiles} tiles`)
  }
})

t.test(
  'it accepts our consistency proofs between all of these checkpoints, and makes the same',
  async (t) => {
    const reader = openReader(dir)
    for (const older of checkpoints) {
      for (const newer of checkpoints) {
        if (older.size > newer.size) continue
        const [oldSize, size] = [older.size, newer.size]
        const proof = reader.consistencyProof(oldSize, size)
        const question = { oldSize, size, oldRoot: older.root, root: newer.root, proof }
        await accepted(t, 'consistency', question, `${oldSize} to ${size}`)
        verifyConsistency({ ...question, newSize: size, newRoot: newer.root })
      }
      const own = await accepted(
        t,
        'prove-consistency',
        { key, log: dir, oldSize: older.size },
        'its own proof',
      )
      t.same(own.proof, reader.consistencyProof(older.size, checkpoints.at(-1)!.size))
    }
  },
)

t.test('it accepts our inclusion proofs and tlog-proofs, and makes the same', async (t) => {
  const reader = openReader(dir)
  for (const checkpoint of checkpoints) {
    const last = Number(checkpoint.size) - 1
    for (const index of new Set([0, last >> 1, last, random.int(0, last), random.int(0, last)])) {
      const text = tlogProof(reader, BigInt(index), checkpoint.note)
      const question = { key, text: Buffer.from(text), leaf: leaf(index) }
      await accepted(t, 'proof', question, `${index} of ${checkpoint.size}`)
      verifyTlogProof(text, leaf(index), key)
      t.same(reader.entry(BigInt(index)), leaf(index))
    }
  }
  for (let i = 0; i < 100; i++) {
    const index = BigInt(random.int(0, 69_999))
    const own = await accepted(t, 'prove-inclusion', { key, log: dir, index }, 'its own proof')
    t.same(own.proof, reader.inclusionProof(index, 70_000n))
  }
})

t.test('both verify trees of up to 2^62 leaves, and we of up to 2^63 − 1', async (t) => {
  // Of equal leaves: then each perfect subtree of one height has one root.
  const perfect = [leafHash(leaf(1))]
  while (perfect.length < 63) perfect.push(nodeHash(perfect.at(-1)!, perfect.at(-1)!))
  const node: NodeSource = (level) => perfect[level]!
  for (let i = 0; i < 100; i++) {
    // x/mod counts in signed 64 bits, and loops for ever above 2^62.
    const most = i === 0 ? (1n << 63n) - 1n : 1n << BigInt(random.int(1, 62))
    const size = i < 2 ? most : randomBelow(most) + 1n
    const index = i % 10 === 0 ? size - 1n : randomBelow(size)
    const root = treeRoot(size, node)
    const inclusion = { index, size, root, proof: inclusionPath(index, size, node) }
    if (i > 0) await accepted(t, 'inclusion', { ...inclusion, hash: perfect[0]! }, `${index} of ${size}`)
    verifyInclusion({ ...inclusion, leafHash: perfect[0]! })
    const oldSize = index + 1n
    const oldRoot = treeRoot(oldSize, node)
    const consistency = { oldSize, oldRoot, proof: consistencyPath(oldSize, size, node) }
    if (i > 0) await accepted(t, 'consistency', { ...consistency, size, root }, `${oldSize} to ${size}`)
    verifyConsistency({ ...consistency, newSize: size, newRoot: root })
  }
})

const witnesses = ['one', 'two'].map((name, i) =>
  cosigner(`witness.example/${name}`, Buffer.alloc(32, 90 + i)),
)
const cosigners = witnesses.map(({ verifierKey }) => verifierKey)
const textOf = (note: string) => note.slice(0, note.lastIndexOf('\n\n') + 1)

t.test('it accepts our cosignatures', async (t) => {
  const { note } = checkpoints.at(-1)!
  const lines = witnesses.map((witness) => witness.cosign(textOf(note), 1_790_000_000n))
  const cosigned = Buffer.from(`${note}${lines.join('')}`)
  const answer = await accepted(t, 'checkpoint', { key, cosigners, note: cosigned }, 'cosigned')
  t.equal(answer.cosigned, 2)
  t.equal(verifyCosigned(cosigned.toString(), key, cosigners).cosignatures.length, 2)
})

/** One document that was tampered with: what the foreign verifier is asked, and what our own is. */
interface Tampered {
  readonly what: string
  readonly op: string
  readonly question: Question
  readonly ours: () => unknown
}

let refused = 0

async function bothRefuse(t: Test, { what, op, question, ours }: Tampered): Promise<void> {
  const theirs = await foreign.ask(op, question)
  let verdict: unknown
  try {
    verdict = (await ours()) ?? 'accepted'
  } catch (error) {
    verdict = error
  }
  const own = verdict instanceof LedgerError
  if (theirs.ok || !own)
    t.fail(`${op}, ${what}: ${theirs.ok ? 'it accepts' : 'it refuses'}, we: ${String(verdict)}`)
  else refused += 1
}

t.test('both refuse checkpoints that were tampered with', async (t) => {
  for (const checkpoint of [checkpoints[4]!, checkpoints.at(-1)!]) {
    const notes = mutatedNotes(checkpoint.note, random)
    for (let i = 0; i < 200; i++) {
      const { what, value } = notes.next().value!
      const note = Buffer.from(value)
      if (value === checkpoint.note) continue
      const ours = () => verifyCheckpoint(decodeUtf8(note), key)
      await bothRefuse(t, { what, op: 'checkpoint', question: { key, note }, ours })
    }
    const other = cosigner(ORIGIN, Buffer.alloc(32, 7)).verifierKey
    for (const wrong of [key.replace('test', 'tesu'), signerOf(8), other]) {
      const ours = () => verifyCheckpoint(checkpoint.note, wrong)
      const question = { key: wrong, note: noteOf(checkpoint) }
      await bothRefuse(t, { what: `the key ${wrong}`, op: 'checkpoint', question, ours })
    }
  }
})

t.test('both refuse cosignatures that were tampered with', async (t) => {
  const { note } = checkpoints.at(-1)!
  const line = witnesses[0]!.cosign(textOf(note), 1_790_000_000n)
  const bytes = Buffer.from(line.trimEnd().split(' ')[2]!, 'base64')
  const { name } = parseVerifierKey(cosigners[0]!, 4)
  for (let i = 0; i < 60; i++) {
    // Behind the key's id: another id would only be another key's.
    const altered = i < 8 ? flipBit(bytes, 32 + i * 8) : flipBit(bytes, random.int(32, bytes.length * 8 - 1))
    const tampered = Buffer.from(`${note}— ${name} ${altered.toString('base64')}\n`)
    const ours = () => verifyCosigned(tampered.toString(), key, cosigners)
    await bothRefuse(t, {
      what: 'a bit',
      op: 'checkpoint',
      question: { key, cosigners, note: tampered },
      ours,
    })
  }
})

t.test('both refuse proofs that were tampered with', async (t) => {
  const reader = openReader(dir)
  for (const [at, checkpoint] of checkpoints.entries()) {
    const { size, root } = checkpoint
    const index = BigInt(random.int(0, Number(size) - 1))
    const hash = leafHash(leaf(Number(index)))
    const proof = reader.inclusionProof(index, size)
    const inclusion = (what: string, changed: Partial<Record<string, unknown>>): Tampered => {
      const question = { index, size, root, hash, proof, ...changed } as Inclusion
      return {
        what,
        op: 'inclusion',
        question,
        ours: () => verifyInclusion({ ...question, leafHash: question.hash }),
      }
    }
    for (const { what, value } of mutatedHashes(proof, random))
      await bothRefuse(t, inclusion(what, { proof: value }))
    await bothRefuse(t, inclusion('another leaf', { hash: flipBit(hash, random.int(0, 255)) }))
    await bothRefuse(t, inclusion('another root', { root: flipBit(root, random.int(0, 255)) }))
    await bothRefuse(t, inclusion('an index out of range', { index: size }))
    await bothRefuse(t, inclusion('a negative index', { index: -1n }))
    await bothRefuse(t, inclusion('a deeper tree', { size: size * 2n + 1n }))
    if (size > 1n) await bothRefuse(t, inclusion('another index', { index: index ^ 1n }))
    const older = checkpoints[random.int(0, at)]!
    if (older.size === size) continue
    const path = reader.consistencyProof(older.size, size)
    const consistency = (what: string, changed: Partial<Record<string, unknown>>): Tampered => {
      const given = {
        oldSize: older.size,
        size,
        oldRoot: older.root,
        root,
        proof: path,
        ...changed,
      } as Consistency
      const ours = () => verifyConsistency({ ...given, newSize: given.size, newRoot: given.root })
      return { what, op: 'consistency', question: given, ours }
    }
    for (const { what, value } of mutatedHashes(path, random))
      await bothRefuse(t, consistency(what, { proof: value }))
    await bothRefuse(t, consistency('another old root', { oldRoot: flipBit(older.root, random.int(0, 255)) }))
    await bothRefuse(t, consistency('another new root', { root: flipBit(root, random.int(0, 255)) }))
    await bothRefuse(t, consistency('the roots swapped', { oldRoot: root, root: older.root }))
    await bothRefuse(t, consistency('a shrinking tree', { oldSize: size, size: older.size }))
    await bothRefuse(t, consistency('a deeper tree', { size: size * 2n + 1n }))
    await bothRefuse(t, consistency('a negative size', { oldSize: -1n }))
    await bothRefuse(t, consistency('two roots for one size', { oldSize: size, proof: [] }))
  }
})
type Inclusion = { index: bigint; size: bigint; root: Buffer; hash: Buffer; proof: Buffer[] }
type Consistency = { oldSize: bigint; size: bigint; oldRoot: Buffer; root: Buffer; proof: Buffer[] }

t.test('both refuse tlog-proofs that were tampered with', async (t) => {
  const reader = openReader(dir)
  const index = 600
  const good = tlogProof(reader, BigInt(index))
  const { checkpoint, hashes } = parseTlogProof(good)
  const head = good.slice(0, good.length - checkpoint.length)
  const first = hashes[0]!.toString('base64')
  const tampered = {
    'another header': good.replace('@v1', '@v2'),
    'no header': good.slice(good.indexOf('\n') + 1),
    'no index': good.replace('index 600\n', ''),
    'another index': good.replace('index 600', 'index 601'),
    'an index with a leading zero': good.replace('index 600', 'index 0600'),
    'a negative index': good.replace('index 600', 'index -600'),
    'a huge index': good.replace('index 600', `index ${1n << 70n}`),
    'an index with words': good.replace('index 600', 'index 600 '),
    'two spaces': good.replace('index 600', 'index  600'),
    'a tabulator': good.replace('index 600', 'index\t600'),
    'the index twice': good.replace('index 600', 'index 600\nindex 600'),
    'extra behind the index': good.replace('index 600', 'index 600\nextra AAAA'),
    'extra that is no base64': good.replace('index 600', 'extra A\nindex 600'),
    'extra twice': good.replace('index 600', 'extra AAAA\nextra AAAA\nindex 600'),
    'stray bits in a hash': good.replace(first, withStrayBits(first)),
    'a hash without padding': good.replace(first, first.slice(0, -1)),
    'a hash in hexadecimal': good.replace(first, hashes[0]!.toString('hex')),
    'a hash with a space': good.replace(first, ` ${first}`),
    'line ends of DOS': good.replaceAll('\n', '\r\n'),
    'no checkpoint': head,
    'no blank line': good.replace('\n\n', '\n'),
    'an older checkpoint': `${head}${checkpoints[9]!.note}`,
    'a newline before': `\n${good}`,
    'a hash of 64 too many': good.replace(`${first}\n`, `${first}\n`.repeat(64)),
  }
  const check = (what: string, text: string, entry = leaf(index)): Tampered => {
    const bytes = Buffer.from(text)
    const ours = () => verifyTlogProof(decodeUtf8(bytes), entry, key)
    return { what, op: 'proof', question: { key, text: bytes, leaf: entry }, ours }
  }
  t.ok((await foreign.ask('proof', check('', good).question)).ok)
  for (const [what, text] of Object.entries(tampered)) await bothRefuse(t, check(what, text))
  await bothRefuse(t, check('another leaf', good, Buffer.from('no leaf')))
  for (let i = 0; i < 100; i++) {
    const at = random.int(0, head.length - 3)
    const text =
      good.slice(0, at) +
      String.fromCharCode(good.charCodeAt(at) ^ (1 << random.int(0, 6))) +
      good.slice(at + 1)
    await bothRefuse(t, check(`a bit of character ${at}`, text))
  }
})

t.test('both refuse tiles and entry bundles that were tampered with', async (t) => {
  const ledger = await open(small, { checkpointIntervalMs: 60_000 })
  await appendLeaves(ledger, 0, 600)
  await ledger.close()
  t.same(await fsck(small), [])
  const ours = async () => {
    const [damage] = await fsck(small)
    if (damage !== undefined) throw new LedgerError('TILE_DAMAGED', damage.what, '')
  }
  for (const path of tilesOf(600n)) {
    const file = join(small, path)
    const good = readFileSync(file)
    for (const { what, value } of mutatedFiles(good, random)) {
      if (value?.equals(good)) continue
      if (value === undefined) rmSync(file)
      else writeFileSync(file, value)
      await bothRefuse(t, {
        what: `${path}: ${what}`,
        op: 'log',
        question: { key, log: small, entries: true },
        ours,
      })
    }
    writeFileSync(file, good)
  }
  t.same(await fsck(small), [])
  t.ok((await foreign.ask('log', { key, log: small, entries: true })).ok)
})

t.test('together these are a thousand', async (t) => {
  t.comment(`${refused} tampered documents, refused by both`)
  t.ok(refused >= 1000, `${refused}`)
})

t.test('where the verdicts differ ours is the stricter, but for trees without leaves', async (t) => {
  const { note, size, root } = checkpoints.at(-1)!
  const text = textOf(note)
  const base64 = note.trimEnd().split(' ').at(-1)!
  const forged = flipBit(Buffer.from(base64, 'base64'), 100).toString('base64')
  const name = parseVerifierKey(key).name
  // x/mod reads base64 with stray bits, and only the first signature of a key.
  for (const looser of [note.replace(base64, withStrayBits(base64)), `${note}— ${name} ${forged}\n`]) {
    t.ok((await foreign.ask('checkpoint', { key, note: Buffer.from(looser) })).ok)
    t.throws(() => verifyCheckpoint(looser, key), LedgerError)
  }
  // It reads ids of keys in upper case too.
  const upper = key.replace(/\+[0-9a-f]{8}\+/, (id) => id.toUpperCase())
  t.not(upper, key)
  t.ok((await foreign.ask('checkpoint', { key: upper, note: Buffer.from(note) })).ok)
  t.throws(() => verifyCheckpoint(note, upper), { code: 'MALFORMED_KEY' })
  // It takes any root for no leaves.
  const nothing = `${ORIGIN}\n0\n${root.toString('base64')}\n`
  const signedNothing = `${nothing}\n${lineOf(nothing)}`
  t.ok((await foreign.ask('checkpoint', { key, note: Buffer.from(signedNothing) })).ok)
  t.throws(() => verifyCheckpoint(signedNothing, key), { code: 'MALFORMED_CHECKPOINT' })
  // It has no consistency proof from a tree without leaves; RFC 9162's is empty.
  const fromNothing = { oldSize: 0n, oldRoot: EMPTY_ROOT, size, root, proof: [] }
  t.notOk((await foreign.ask('consistency', fromNothing)).ok)
  verifyConsistency({ ...fromNothing, newSize: size, newRoot: root })
  // Extension lines of another log: both read them.
  const extended = `${text}extension\n`
  const signedExtended = `${extended}\n${lineOf(extended)}`
  t.ok((await foreign.ask('checkpoint', { key, note: Buffer.from(signedExtended) })).ok)
  t.equal(verifyCheckpoint(signedExtended, key).size, size)
  t.equal(parseSignedCheckpoint(note).size, size)
})

function signerOf(seed: number): string {
  return cosigner(ORIGIN, Buffer.alloc(32, seed)).verifierKey
}

function lineOf(text: string): string {
  const { id, name } = parseVerifierKey(key)
  return `— ${name} ${Buffer.concat([id, signer.sign(Buffer.from(text))]).toString('base64')}\n`
}

/** The same bytes in a second spelling: a bit that means nothing is set before the padding. */
function withStrayBits(base64: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  const at = base64.indexOf('=') - 1
  return `${base64.slice(0, at)}${alphabet[alphabet.indexOf(base64[at]!) + 1]}${base64.slice(at + 1)}`
}

function tilesOf(size: bigint): string[] {
  const paths: string[] = []
  for (const level of ['entries', 0, 1] as const) {
    for (let index = 0n; widthAt(level, index, size) > 0; index++) {
      paths.push(tilePath({ level, index, width: widthAt(level, index, size) }))
    }
  }
  return paths
}

function randomBelow(limit: bigint): bigint {
  return BigInt(`0x${random.bytes(16).toString('hex')}`) % limit
}
