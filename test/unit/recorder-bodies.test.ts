import { createHash, randomBytes } from 'node:crypto'
import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { realFileSystem } from '../../daemon/base/durable/file-system.ts'
import { bodyKeys } from '../../daemon/recorder/bodies/keys.ts'
import { PackStore, scanPlaces } from '../../daemon/recorder/bodies/pack-store.ts'
import { PartWriter } from '../../daemon/recorder/bodies/part-writer.ts'
import { gearTable, MAX_CHUNK, Splitter, split } from '../../daemon/recorder/bodies/split.ts'
import { openBodies } from '../../daemon/recorder/body-reader.ts'
import { IndexWriter } from '../../daemon/recorder/index/index-writer.ts'
import { inForce } from '../../daemon/recorder/sealed/format.ts'
import { temporaryDirectory } from './recorder-fixtures.ts'

const bodyKey = Buffer.alloc(32, 9)
const table = gearTable(Buffer.alloc(32, 1))

const stores: PackStore[] = []
t.teardown(() => Promise.all(stores.map((packs) => packs.close())))

async function store() {
  const dir = temporaryDirectory()
  mkdirSync(path.join(dir, 'packs'))
  const index = IndexWriter.open(path.join(dir, 'index.sqlite'), false)
  const keys = bodyKeys(bodyKey)
  const packs = await PackStore.open(
    { dir: path.join(dir, 'packs'), keys, fs: realFileSystem, index },
    index.position(),
  )
  stores.push(packs)
  const put = async (bytes: Buffer, piece = 64 << 10) => {
    const writer = new PartWriter(keys, packs)
    for (let at = 0; at < bytes.length; at += piece) {
      writer.write(bytes.subarray(at, at + piece))
      await packs.drain()
    }
    return writer.finish()
  }
  const commit = async () => index.add([], await packs.commit())
  const size = () =>
    readdirSync(path.join(dir, 'packs')).reduce(
      (sum, f) => sum + statSync(path.join(dir, 'packs', f)).size,
      0,
    )
  return { dir, index, keys, packs, put, commit, size }
}

t.test('chunks put together again are the content, and small enough', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200_000, size: 'max' }), (array) => {
      const bytes = Buffer.from(array)
      const chunks = split(table, bytes)
      return Buffer.concat(chunks).equals(bytes) && chunks.every((c) => c.length > 0 && c.length <= MAX_CHUNK)
    }),
    { numRuns: 60 },
  )
  const chunks = split(table, randomBytes(8 << 20))
  t.ok(chunks.length > 500 && chunks.length < 1600, `about 8 KiB each: ${chunks.length} of 8 MiB`)
  t.ok(
    split(table, Buffer.alloc(1 << 20)).every((c) => c.length <= MAX_CHUNK),
    'also where no cut is found',
  )
})

t.test('a stream splits the same however it is cut into pieces', async (t) => {
  const bytes = randomBytes(300_000)
  const whole = split(table, bytes).map((c) => c.toString('hex'))
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 90_000 }), { maxLength: 30 }), (cuts) => {
      const splitter = new Splitter(table)
      const chunks: Buffer[] = []
      let at = 0
      for (const cut of [...cuts, bytes.length]) {
        if (at < bytes.length) chunks.push(...splitter.push(bytes.subarray(at, at + cut)))
        at += cut
      }
      chunks.push(...splitter.finish())
      return chunks.length === whole.length && chunks.every((c, i) => c.toString('hex') === whole[i])
    }),
    { numRuns: 40 },
  )
  t.pass()
})

t.test('an insertion changes the chunks around it and no others', async (t) => {
  const bytes = randomBytes(400_000)
  const before = new Set(split(table, bytes).map((c) => c.toString('hex')))
  const inserted = Buffer.concat([
    bytes.subarray(0, 200_000),
    Buffer.from('inserted'),
    bytes.subarray(200_000),
  ])
  const fresh = split(table, inserted).filter((c) => !before.has(c.toString('hex')))
  t.ok(fresh.length <= 4, `${fresh.length} new chunks`)
})

t.test('parts of every size come back, and match their digest', async (t) => {
  const { dir, put, commit } = await store()
  const sizes = [0, 1, 1023, 1024, 1025, 2048, 5000, 70_000, 3_000_000]
  const parts = []
  for (const size of sizes) {
    const bytes = randomBytes(size)
    parts.push({ bytes, part: await put(bytes, 777_777) })
  }
  await commit()
  const bodies = openBodies(dir, bodyKey)
  for (const { bytes, part } of parts) {
    const read = bodies.read(part.digest)
    t.ok(read.bytes.equals(bytes), `${bytes.length} bytes`)
    t.same(part, {
      digest: createHash('sha256').update(read.salt).update(bytes).digest('hex'),
      size: bytes.length,
      stored: true,
    })
  }
  t.throws(() => bodies.read('00'.repeat(32)), { code: 'NOT_FOUND' })
  bodies.close()
})

t.test('a body of more chunks than one list holds comes back', async (t) => {
  const { dir, put, commit } = await store()
  // Random, so that chunks average 8 KiB: 40 MiB are more than 2,048 of them.
  const bytes = randomBytes(40 << 20)
  const part = await put(bytes)
  await commit()
  const bodies = openBodies(dir, bodyKey)
  t.ok(bodies.read(part.digest).bytes.equals(bytes))
  bodies.close()
})

t.test('a session that resends its history costs at most 10 % of the raw bytes', async (t) => {
  const { put, commit, size } = await store()
  const messages: object[] = []
  let raw = 0
  for (let turn = 0; turn < 200; turn++) {
    const words = Array.from({ length: 150 }, () => randomBytes(3).toString('hex')).join(' ')
    messages.push({ role: turn % 2 ? 'assistant' : 'user', content: words })
    const body = Buffer.from(JSON.stringify({ model: 'gpt-4o', stream: true, messages }))
    raw += body.length
    await put(body)
    await commit()
  }
  const ratio = size() / raw
  t.comment(`${(ratio * 100).toFixed(2)} % of ${raw} bytes`)
  t.ok(ratio <= 0.1, `${(ratio * 100).toFixed(2)} %`)
})

t.test('a part that is not kept leaves a digest and nothing on disk', async (t) => {
  const { keys, size, commit } = await store()
  const before = size()
  const writer = new PartWriter(keys, undefined)
  writer.write(Buffer.from('grant_type=refresh_token'))
  const part = writer.finish()
  await commit()
  t.equal(size(), before)
  t.match(part, { size: 24, stored: false, digest: /^[0-9a-f]{64}$/ })
  t.not(part.digest, createHash('sha256').update('grant_type=refresh_token').digest('hex'), 'it is salted')
})

t.test('no plaintext and no plain hash of it stands in a pack', async (t) => {
  const { dir, put, commit } = await store()
  const secret = Buffer.from('the quick brown secret '.repeat(200))
  await put(secret)
  await put(Buffer.from('a small secret'))
  await commit()
  for (const name of readdirSync(dir, { recursive: true }) as string[]) {
    const file = path.join(dir, name)
    if (!statSync(file).isFile()) continue
    const bytes = readFileSync(file)
    for (const text of ['quick brown secret', 'a small secret']) t.equal(bytes.indexOf(text), -1, name)
    t.equal(bytes.indexOf(createHash('sha256').update(secret).digest()), -1)
  }
})

t.test('what was put and not committed is taken back', async (t) => {
  const { dir, put, packs, commit, size } = await store()
  const kept = await put(randomBytes(5000))
  await commit()
  const before = size()
  const twice = randomBytes(3_000_000)
  await put(twice)
  await packs.abandon()
  t.equal(size(), before)
  const again = await put(twice)
  await commit()
  const bodies = openBodies(dir, bodyKey)
  t.ok(bodies.read(again.digest).bytes.equals(twice), 'a chunk that was taken back is not taken for stored')
  t.equal(bodies.read(kept.digest).bytes.length, 5000)
  bodies.close()
})

t.test(
  'the index learns of a body’s chunks before its end, so that memory doesn’t grow with it',
  async (t) => {
    const { packs, index, commit } = await store()
    const chunks = Array.from({ length: 16_500 }, (_, i) => Buffer.from(`chunk ${i}`))
    for (const chunk of chunks) {
      packs.putChunk(chunk)
      await packs.drain()
    }
    t.ok(index.counts().places > 16_000, 'most are known')
    await packs.abandon()
    for (const chunk of chunks) packs.putChunk(chunk)
    await commit()
    t.equal(index.counts().places, chunks.length, 'and none is stored twice when it comes again')
  },
)

t.test('without the index everything is found by a scan of the packs', async (t) => {
  const { dir, put, commit, index } = await store()
  const bytes = randomBytes(100_000)
  const part = await put(bytes)
  await commit()
  const scanned = [...scanPlaces(path.join(dir, 'packs'), bodyKey, { pack: 0, offset: 0 })]
  t.ok(scanned.length > 2)
  for (const { key, pack } of scanned) t.ok(index.isIn(key, pack))
  index.close()
  rmSync(path.join(dir, 'index.sqlite'))
  const bodies = openBodies(dir, bodyKey)
  t.ok(bodies.read(part.digest).bytes.equals(bytes))
  bodies.close()
})

t.test('a pack that a crash left torn is cut and goes on', async (t) => {
  const { dir, put, commit, packs, index, keys } = await store()
  const first = await put(Buffer.from('first'))
  await commit()
  await packs.close()
  const pack = path.join(dir, 'packs', '0000000001.pack')
  const whole = readFileSync(pack)
  appendFileSync(pack, randomBytes(300))
  const again = await PackStore.open(
    { dir: path.join(dir, 'packs'), keys, fs: realFileSystem, index },
    index.position(),
  )
  t.equal(statSync(pack).size, whole.length)
  const writer = new PartWriter(keys, again)
  writer.write(Buffer.from('second'))
  const second = writer.finish()
  index.add([], await again.commit())
  const bodies = openBodies(dir, bodyKey)
  t.equal(bodies.read(first.digest).bytes.toString(), 'first')
  t.equal(bodies.read(second.digest).bytes.toString(), 'second')
  bodies.close()
  await again.close()
})

t.test('after a rotation what the old key sealed opens, and nothing more is sealed under it', async (t) => {
  const { dir, index, put, commit, packs } = await store()
  const before = await put(randomBytes(100_000))
  await commit()
  await packs.close()
  const ring = Buffer.concat([Buffer.alloc(32, 4), bodyKey])
  const keys = bodyKeys(ring)
  const options = { dir: path.join(dir, 'packs'), keys, fs: realFileSystem, index }
  const rotated = await PackStore.open(options, index.position())
  stores.push(rotated)
  t.equal(rotated.active, packs.active + 1, 'a pack of its own begins')
  const writer = new PartWriter(keys, rotated)
  writer.write(Buffer.from('under the new key'))
  const after = await writer.finish()
  index.add([], await rotated.commit())
  const bodies = openBodies(dir, ring)
  t.equal(bodies.read(before.digest).bytes.length, 100_000)
  t.equal(bodies.read(after.digest).bytes.toString(), 'under the new key')
  bodies.close()
  const alone = openBodies(dir, inForce(ring))
  t.throws(() => alone.read(before.digest), { code: 'DAMAGED' }, 'the new key alone opens no old pack')
  alone.close()
})
