import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import { realFileSystem } from '../../daemon/base/durable/file-system.ts'
import { type SignedCheckpoint, verifyCheckpoint } from '../../daemon/ledger/checkpoint.ts'
import { encodeBundle } from '../../daemon/ledger/entry-bundle.ts'
import { LedgerError } from '../../daemon/ledger/errors.ts'
import { leafHash, rootOf, verifyConsistency } from '../../daemon/ledger/merkle.ts'
import { ed25519Signer } from '../../daemon/ledger/note.ts'
import { formatTlogProof, parseTlogProof, tlogProof, verifyTlogProof } from '../../daemon/ledger/proof.ts'
import { openReader } from '../../daemon/ledger/reader.ts'
import { EMPTY_EDGE, edgeRoot, extendEdge } from '../../daemon/ledger/right-edge.ts'
import { tilePath } from '../../daemon/ledger/tile-path.ts'
import { readEntries, readTile } from '../../daemon/ledger/tile-store.ts'
import {
  appendLeaves,
  filesOf,
  fsck,
  grow,
  leaf,
  ORIGIN,
  open,
  signer,
  temporaryDirectory,
} from './ledger-fixture.ts'

const rootAt = (size: number): Buffer => rootOf(Array.from({ length: size }, (_, i) => leafHash(leaf(i))))

t.test('the tiles of a tree do not depend on how it grew', async () => {
  const grown = (steps: number[]): { files: Map<string, Buffer>; root: string } => {
    const files = new Map<string, Buffer>()
    let edge = EMPTY_EDGE
    for (const step of steps) {
      const from = Number(edge.size)
      const run = extendEdge(
        edge,
        Array.from({ length: step }, (_, i) => leaf(from + i)),
      )
      let next = run.next()
      for (; !next.done; next = run.next()) files.set(tilePath(next.value.address), next.value.bytes)
      edge = next.value
    }
    return { files, root: edgeRoot(edge.levels).toString('hex') }
  }
  fc.assert(
    fc.property(fc.array(fc.nat(300), { minLength: 1, maxLength: 6 }), (steps) => {
      const size = steps.reduce((a, b) => a + b)
      const [bySteps, atOnce] = [grown(steps), grown([size])]
      for (const [path, bytes] of atOnce.files) if (!bySteps.files.get(path)?.equals(bytes)) return false
      return bySteps.root === atOnce.root && atOnce.root === rootAt(size).toString('hex')
    }),
    { numRuns: 25 },
  )
})

t.test('a new log has a signed checkpoint of no leaves', async (t) => {
  const dir = temporaryDirectory(t)
  const ledger = await open(dir)
  t.equal(ledger.size, 0n)
  t.equal(ledger.signed?.size, 0n)
  await ledger.close()
  t.equal(verifyCheckpoint(readFileSync(join(dir, 'checkpoint'), 'utf8'), signer.verifierKey).size, 0n)
  t.equal(openReader(temporaryDirectory(t)).checkpoint(), undefined)
})

t.test('numbers leaves in order, signs within the interval, and serves entries and proofs', async (t) => {
  const dir = temporaryDirectory(t)
  const ledger = await open(dir, { checkpointIntervalMs: 200 })
  const seen: SignedCheckpoint[] = []
  const remove = ledger.onCheckpoint((checkpoint) => seen.push(checkpoint))
  const indexes = await Promise.all(Array.from({ length: 600 }, (_, i) => ledger.append(leaf(i))))
  t.same(
    indexes,
    Array.from({ length: 600 }, (_, i) => BigInt(i)),
  )
  t.equal(ledger.size, 600n)
  await setTimeout(400)
  t.equal(ledger.signed?.size, 600n)
  t.equal(seen.at(-1)?.size, 600n)
  remove()
  await appendLeaves(ledger, 600, 601)
  await ledger.close()
  t.equal(seen.at(-1)?.size, 600n, 'a removed listener hears nothing more')

  const reader = openReader(dir)
  t.equal(reader.checkpoint()?.size, 601n)
  t.same(reader.checkpoint()?.root, rootAt(601))
  for (const i of [0, 1, 255, 256, 511, 512, 599, 600]) {
    t.same(reader.entry(BigInt(i)), leaf(i))
    const proof = tlogProof(reader, BigInt(i))
    t.equal(verifyTlogProof(proof, leaf(i), signer.verifierKey).index, BigInt(i))
    const old = seen.at(-1)!
    if (i < 600)
      t.equal(
        verifyTlogProof(tlogProof(reader, BigInt(i), old.note), leaf(i), signer.verifierKey).checkpoint.size,
        600n,
      )
  }
  for (const [oldSize, newSize] of [
    [0, 601],
    [1, 600],
    [256, 513],
    [600, 601],
    [601, 601],
  ] as const) {
    verifyConsistency({
      oldSize: BigInt(oldSize),
      newSize: BigInt(newSize),
      oldRoot: rootAt(oldSize),
      newRoot: rootAt(newSize),
      proof: reader.consistencyProof(BigInt(oldSize), BigInt(newSize)),
    })
  }
  t.throws(() => reader.entry(601n), { code: 'OUT_OF_RANGE' })
  t.throws(() => reader.entry(-1n), { code: 'OUT_OF_RANGE' })
  t.throws(() => reader.inclusionProof(0n, 602n), { code: 'OUT_OF_RANGE' })
  t.throws(() => tlogProof(reader, 601n), { code: 'OUT_OF_RANGE' })
  t.throws(() => tlogProof(openReader(temporaryDirectory(t)), 0n), { code: 'CHECKPOINT_MISSING' })
})

t.test('keeps the bytes of a leaf as they were when it was appended', async (t) => {
  const dir = temporaryDirectory(t)
  const ledger = await open(dir)
  const bytes = Buffer.from('before')
  const appended = ledger.append(bytes)
  bytes.write('after!')
  await appended
  await ledger.close()
  t.equal(openReader(dir).entry(0n).toString(), 'before')
})

t.test(
  'has the partial tiles of every signed size until the tile is full, and no write-ahead log behind them',
  async (t) => {
    const dir = temporaryDirectory(t)
    for (const [from, to] of [
      [0, 3],
      [3, 10],
      [10, 250],
    ] as const) {
      await grow(dir, from, to)
    }
    t.same(readdirSync(join(dir, 'tile/0/000.p')).sort(), ['10', '250', '3'])
    t.same(readdirSync(join(dir, 'tile/entries/000.p')).sort(), ['10', '250', '3'])
    t.same(readFileSync(join(dir, 'tile/entries/000.p/3')), encodeBundle([leaf(0), leaf(1), leaf(2)]))
    await grow(dir, 250, 300)
    t.notOk(existsSync(join(dir, 'tile/0/000.p')))
    t.equal(readFileSync(join(dir, 'tile/0/000')).length, 8192)
    t.same(readFileSync(join(dir, 'tile/1/000.p/1')), rootAt(256))
    t.same(readdirSync(join(dir, 'tile/0/001.p')), ['44'])
    t.equal(filesOf(join(dir, 'wal')).length, 1)
    t.equal(readFileSync(join(dir, 'wal', filesOf(join(dir, 'wal'))[0]!)).length, 48, 'an empty segment')
    t.same(await fsck(dir), [])
  },
)

t.test('goes on after it was closed, at every kind of edge', async (t) => {
  const dir = temporaryDirectory(t)
  let size = 0
  for (const next of [1, 1, 255, 256, 257, 511, 512, 700]) {
    await grow(dir, size, next)
    size = next
    t.same(openReader(dir).checkpoint()?.root, rootAt(size), `${size} leaves`)
  }
  t.same(await fsck(dir), [])
})

t.test('a second process, and a second opener in this one, is refused', async (t) => {
  const dir = temporaryDirectory(t)
  const ledger = await open(dir)
  await t.rejects(open(dir), { name: 'LedgerError', code: 'LOCKED', remedy: /stateDir/ })
  await ledger.append(leaf(0))
  await ledger.close()
  const again = await open(dir)
  t.equal(again.size, 1n)
  await again.close()
})

t.test('refuses leaves that no bundle can hold, and leaves after close', async (t) => {
  const ledger = await open(temporaryDirectory(t))
  await t.rejects(ledger.append(Buffer.alloc(65_536)), { code: 'LEAF_TOO_LONG' })
  t.equal(await ledger.append(Buffer.alloc(65_535)), 0n)
  await Promise.all([ledger.close(), ledger.close()])
  await t.rejects(ledger.append(leaf(0)), { code: 'CLOSED' })
})

t.test('refuses a key of another name, and a directory of another origin or key', async (t) => {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, 3)
  const other = ed25519Signer('other.example', Buffer.alloc(32, 9))
  const same = ed25519Signer(ORIGIN, Buffer.alloc(32, 9))
  await t.rejects(open(dir, { verifierKey: other.verifierKey }), { code: 'WRONG_ORIGIN' })
  await t.rejects(open(dir, { ...other, origin: 'other.example' }), { code: 'WRONG_ORIGIN' })
  await t.rejects(open(dir, same), { code: 'CHECKPOINT_DAMAGED', remedy: /key/ })
  await grow(dir, 3, 4)
})

t.test('a signature that does not verify is never published, and signing is tried again', async (t) => {
  const dir = temporaryDirectory(t)
  let broken = false
  const ledger = await open(dir, {
    checkpointIntervalMs: 40,
    sign: async (text) => (broken ? Buffer.alloc(64) : signer.sign(text)),
  })
  broken = true
  await ledger.append(leaf(0))
  await setTimeout(150)
  t.equal(ledger.trouble?.code, 'SIGNING_FAILED')
  t.equal(openReader(dir).checkpoint()?.size, 0n)
  t.same(await fsck(dir), [], 'integrated but unsigned is no damage')
  broken = false
  await setTimeout(150)
  t.equal(ledger.trouble, undefined)
  t.equal(ledger.signed?.size, 1n)
  broken = true
  await ledger.append(leaf(1))
  await t.rejects(ledger.close(), { code: 'SIGNING_FAILED' })
  await grow(dir, 2, 2)
  t.equal(openReader(dir).checkpoint()?.size, 2n, 'the leaf was not lost')
})

t.test('a full disk fails the appends of the moment only', async (t) => {
  const dir = temporaryDirectory(t)
  let full = false
  let written = 0
  const ledger = await open(dir, {
    fs: {
      ...realFileSystem,
      async open(path, flags, mode) {
        const file = await realFileSystem.open(path, flags, mode)
        return {
          fd: file.fd,
          async writev(buffers, position) {
            if (!full) return file.writev(buffers, position)
            // As a disk does it: some of the bytes, then none.
            const left = 5 - written
            written = 5
            if (left > 0) return file.writev([buffers[0]!.subarray(0, left)], position)
            throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
          },
          sync: () => file.sync(),
          datasync: () => file.datasync(),
          truncate: (length) => file.truncate(length),
          stat: () => file.stat(),
          close: () => file.close(),
        }
      },
    },
  })
  await appendLeaves(ledger, 0, 2)
  const segment = join(dir, 'wal', readdirSync(join(dir, 'wal'))[0]!)
  const { length } = readFileSync(segment)
  full = true
  await t.rejects(ledger.append(leaf(99)), { code: 'WRITE_FAILED', remedy: /space/ })
  full = false
  t.equal(readFileSync(segment).length, length, 'nothing is left of it')
  t.equal(await ledger.append(leaf(2)), 2n)
  await ledger.close()
  t.same(openReader(dir).checkpoint()?.root, rootAt(3))
})

t.test('acknowledges nothing once a sync has failed', async (t) => {
  const dir = temporaryDirectory(t)
  let bad = false
  const ledger = await open(dir, {
    fs: {
      ...realFileSystem,
      async open(path, flags, mode) {
        const file = await realFileSystem.open(path, flags, mode)
        const datasync = file.datasync.bind(file)
        file.datasync = () => (bad ? Promise.reject(new Error('EIO')) : datasync())
        return file
      },
    },
  })
  await ledger.append(leaf(0))
  bad = true
  await t.rejects(ledger.append(leaf(1)), { code: 'WRITE_FAILED' })
  bad = false
  await t.rejects(ledger.append(leaf(1)), { code: 'WRITE_FAILED' })
  t.equal(ledger.trouble?.code, 'WRITE_FAILED')
  await ledger.close()
  t.equal(openReader(dir).checkpoint()?.size, 1n)
})

t.test('a proof is text that survives a round trip, and refuses every altered byte', async (t) => {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, 11)
  const text = tlogProof(openReader(dir), 6n)
  t.match(
    text,
    /^c2sp\.org\/tlog-proof@v1\nindex 6\n([A-Za-z0-9+/]{43}=\n){4}\nagent-anchor\.invalid\/test\n11\n/,
  )
  t.equal(formatTlogProof(parseTlogProof(text)), text)
  const extra = formatTlogProof({ ...parseTlogProof(text), extra: Buffer.from('about it') })
  t.same(parseTlogProof(extra).extra, Buffer.from('about it'))
  t.equal(verifyTlogProof(extra, leaf(6), signer.verifierKey).index, 6n)
  t.throws(() => verifyTlogProof(text, leaf(5), signer.verifierKey), { code: 'BAD_PROOF' })
  const bytes = Buffer.from(text)
  for (const i of bytes.keys()) {
    const altered = Buffer.from(bytes)
    altered[i]! ^= 1
    t.throws(() => verifyTlogProof(altered.toString(), leaf(6), signer.verifierKey), LedgerError)
  }
  const index = 'index 6\n'
  for (const bad of [
    '',
    'index 06\n',
    'index -1\n',
    'index 6 \n',
    'index\n',
    'extra !\nindex 6\n',
    'Index 6\n',
  ]) {
    t.throws(() => parseTlogProof(text.replace(index, bad)), { code: 'MALFORMED_PROOF' }, JSON.stringify(bad))
  }
  const many = `${index}${`${Buffer.alloc(32).toString('base64')}\n`.repeat(64)}`
  t.throws(() => parseTlogProof(text.replace(index, many)), { code: 'MALFORMED_PROOF' })
  t.throws(() => parseTlogProof(''), { code: 'MALFORMED_PROOF' })
})

t.test('refuses tiles of other bytes than those it integrates', async (t) => {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, 3)
  writeFileSync(join(dir, 'tile/0/000.p/5'), Buffer.alloc(160))
  const ledger = await open(dir)
  await appendLeaves(ledger, 3, 5)
  await t.rejects(ledger.close(), { code: 'DIFFERENT_BYTES' })
  t.equal(openReader(dir).checkpoint()?.size, 3n)
})

t.test('older partial tiles go while wider ones come, and who asks for one gets what it held', async (t) => {
  const dir = temporaryDirectory(t)
  const firsts: Buffer[][] = []
  for (let size = 1; size <= 9; size++) {
    await grow(dir, size - 1, size)
    firsts.push(readTile(dir, { level: 0, index: 0n, width: size }))
  }
  for (const level of ['0', 'entries']) {
    t.same(readdirSync(join(dir, 'tile', level, '000.p')).sort(), ['6', '7', '8', '9'], level)
  }
  for (const [i, hashes] of firsts.entries()) {
    t.same(readTile(dir, { level: 0, index: 0n, width: i + 1 }), hashes)
    t.equal(readEntries(dir, 0n, i + 1).length, i + 1)
  }
  t.same(await fsck(dir), [])
  await grow(dir, 9, 257)
  t.same(readTile(dir, { level: 0, index: 0n, width: 3 }), firsts[2], 'and from the full tile')
  t.same(await fsck(dir), [])
})
