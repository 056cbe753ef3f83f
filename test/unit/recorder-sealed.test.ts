import { mkdirSync, readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { realFileSystem } from '../../daemon/base/durable/file-system.ts'
import { settledScan } from '../../daemon/recorder/check/settled-scan.ts'
import { sealedName } from '../../daemon/recorder/sealed/files.ts'
import { ENTRY_HEADER, FILE_HEADER } from '../../daemon/recorder/sealed/format.ts'
import { SealedReader } from '../../daemon/recorder/sealed/sealed-reader.ts'
import { SealedWriter } from '../../daemon/recorder/sealed/sealed-writer.ts'
import { temporaryDirectory } from './recorder-fixtures.ts'

const bodyKey = Buffer.alloc(32, 7)

async function written(plains: string[]) {
  const dir = temporaryDirectory()
  const writer = await SealedWriter.create({ dir, purpose: 'pack', number: 1, bodyKey, fs: realFileSystem })
  const spans = plains.map((plain) => writer.stage([Buffer.from(plain)]))
  await writer.flush()
  await writer.close()
  return { dir, file: path.join(dir, sealedName('pack', 1)), spans }
}

function scan(file: string, number = 1) {
  const reader = new SealedReader(file, bodyKey, 'pack', number)
  try {
    return { headerIntact: reader.headerIntact, found: [...reader.scan()] }
  } finally {
    reader.close()
  }
}

const plainsOf = (file: string) => scan(file).found.flatMap((f) => ('plain' in f ? [f.plain.toString()] : []))

t.test('a flip of any bit of a sealed file is found, and entries behind it still open', async (t) => {
  const { file } = await written(['one', 'two', 'three'])
  const whole = readFileSync(file)
  for (let at = 0; at < whole.length; at++) {
    const bytes = Buffer.from(whole)
    bytes[at]! ^= 1 << (at % 8)
    writeFileSync(file, bytes)
    const { headerIntact, found } = scan(file)
    const damaged = !headerIntact || found.some((f) => 'damage' in f)
    if (!damaged) t.fail(`the flip at ${at} went unnoticed`)
    const lost = 3 - plainsOf(file).length
    const inSalt = at >= 8 && at < 40
    if (!inSalt && lost > 1) t.fail(`the flip at ${at} took ${lost} entries`)
  }
})

t.test('a file cut anywhere gives the entries before the cut, and the rest as a damaged tail', async (t) => {
  const { file, spans } = await written(['one', 'two', 'three'])
  const whole = readFileSync(file)
  for (let end = FILE_HEADER; end < whole.length; end++) {
    writeFileSync(file, whole.subarray(0, end))
    const { found } = scan(file)
    const entire = spans.filter(({ offset, length }) => offset + length <= end).length
    t.equal(found.filter((f) => 'plain' in f).length, entire)
    const boundary = end === FILE_HEADER || spans.some(({ offset, length }) => offset + length === end)
    t.same(
      found.filter((f) => 'damage' in f).map((f) => 'damage' in f && f.tail),
      boundary ? [] : [true],
    )
  }
})

t.test('an entry does not open at another offset, nor a file under another name', async (t) => {
  const { dir, file, spans } = await written(['one', 'two'])
  const bytes = readFileSync(file)
  const [first, second] = spans
  const swapped = Buffer.concat([
    bytes.subarray(0, FILE_HEADER),
    bytes.subarray(second!.offset, second!.offset + second!.length),
    bytes.subarray(first!.offset, first!.offset + first!.length),
  ])
  writeFileSync(file, swapped)
  t.same(plainsOf(file), [])
  writeFileSync(file, bytes)
  const other = path.join(dir, sealedName('pack', 2))
  renameSync(file, other)
  const { headerIntact, found } = scan(other, 2)
  t.notOk(headerIntact)
  t.notOk(found.some((f) => 'plain' in f))
})

t.test('a length that lies does not make the reader allocate or crash', async (t) => {
  const { file } = await written(['one'])
  const bytes = readFileSync(file)
  bytes.writeUInt32BE(0xffffffff, FILE_HEADER + 4)
  writeFileSync(file, bytes)
  t.same(plainsOf(file), [])
})

t.test('arbitrary bytes are damage, never an error', async (t) => {
  const dir = temporaryDirectory()
  const file = path.join(dir, sealedName('pack', 1))
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      writeFileSync(file, bytes)
      const { headerIntact, found } = scan(file)
      return !headerIntact && found.every((f) => 'damage' in f)
    }),
    { numRuns: 200 },
  )
  t.pass()
})

t.test('a tail that becomes whole a moment later is no damage', async (t) => {
  const { file } = await written(['one', 'two'])
  const whole = readFileSync(file)
  truncateSync(file, whole.length - ENTRY_HEADER)
  setTimeout(() => writeFileSync(file, whole), 100)
  const found = []
  for await (const f of settledScan({ path: file, purpose: 'pack', number: 1 }, bodyKey)) found.push(f)
  t.same(
    found.map((f) => ('plain' in f ? f.plain.toString() : f.damage)),
    ['one', 'two'],
  )
})

t.test('what was rolled back is written again under another nonce', async (t) => {
  const dir = temporaryDirectory()
  mkdirSync(dir, { recursive: true })
  const writer = await SealedWriter.create({ dir, purpose: 'pack', number: 1, bodyKey, fs: realFileSystem })
  const file = path.join(dir, sealedName('pack', 1))
  writer.stage([Buffer.from('first')])
  await writer.flush()
  const before = readFileSync(file).subarray(FILE_HEADER)
  await writer.rollback()
  t.equal(readFileSync(file).length, FILE_HEADER)
  writer.stage([Buffer.from('first')])
  await writer.flush()
  const after = readFileSync(file).subarray(FILE_HEADER)
  t.notSame(after.subarray(8, ENTRY_HEADER), before.subarray(8, ENTRY_HEADER))
  t.same(plainsOf(file), ['first'])
  await writer.close()
})
