/** HPACK as node:http2 (nghttp2) writes it. */
import fc from 'fast-check'
import t from 'tap'
import { type HeaderField, HpackDecoder, readFirstHeaders } from '../../daemon/wire/hpack.ts'
import { HpackEncoder } from '../../daemon/wire/hpack-encoder.ts'
import { h2Start } from './proxy-wire.ts'

/** The header block of a first flight without padding and priority. */
function blockOf(bytes: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 24; at < bytes.length; ) {
    const end = at + 9 + bytes.readUIntBE(at, 3)
    const [type, flags = 0] = bytes.subarray(at + 3)
    const payload = bytes.subarray(at + 9, end)
    if (type === 1) parts.push(payload.subarray(flags & 0x20 ? 5 : 0))
    if (type === 9) parts.push(payload)
    at = end
  }
  return Buffer.concat(parts)
}

const read = async (fields: Record<string, string | string[]>) =>
  readFirstHeaders(blockOf(await h2Start(fields)))

t.test('reads names and values, each character by its code', async (t) => {
  const values: Record<string, string> = {}
  for (let code = 0x21; code <= 0xff; code++) {
    // Long codes are used only where the whole is shorter so.
    if (code !== 0x7f) values[`x-${code}`] = `a${String.fromCharCode(code)}${'a'.repeat(30)}`
  }
  const found = new Map((await read(values)).map(({ name, value }) => [name, value]))
  for (const [name, value] of Object.entries(values)) t.equal(found.get(name), value, name)
})

t.test('reads fields that refer to earlier ones, also when the table has been full', async (t) => {
  const fields: Record<string, string | string[]> = { ':authority': 'Some.Example:8080' }
  for (let i = 0; i < 40; i++) fields[`x-${i}`] = [`${i}-${'v'.repeat(100)}`, `${i}-${'v'.repeat(100)}`]
  const found = await read(fields)
  t.match(
    found.find(({ name }) => name === ':authority'),
    { value: 'Some.Example:8080' },
  )
  for (let i = 0; i < 40; i++) {
    const values = found.filter(({ name }) => name === `x-${i}`).map(({ value }) => value)
    t.same(values, fields[`x-${i}`])
  }
})

t.test('the example of RFC 7541, appendix C.4.1', async (t) => {
  const block = Buffer.from('828684418cf1e3c2e5f23a6ba0ab90f4ff', 'hex')
  t.match(readFirstHeaders(block).at(-1), { name: ':authority', value: 'www.example.com' })
})

t.test('whatever comes, it ends, and keeps what it had', async (t) => {
  const block = blockOf(await h2Start({ ':authority': 'some.example', 'x-a': 'b' }))
  for (let end = 0; end <= block.length; end++) readFirstHeaders(block.subarray(0, end))
  for (const tail of ['ff', 'ffffffffffff7f', '3fffffff7f', '40', '4083ffffff', 'be', '80'])
    t.match(
      readFirstHeaders(Buffer.concat([block, Buffer.from(tail, 'hex')])).map(({ name }) => name),
      [':authority', /./],
      tail,
    )
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        for (const { value } of readFirstHeaders(Buffer.from(bytes)))
          if (value.length > 640) throw new Error('grew')
      }),
      { numRuns: 2000 },
    ),
  )
})

const name = fc.oneof(
  fc.constantFrom(':path', ':status', 'accept-encoding', 'cookie', 'x-a', 'x-b'),
  fc.string({ minLength: 1, maxLength: 20 }),
)
const value = fc.oneof(
  fc.constantFrom('', '/', '200', 'gzip, deflate'),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
)
const anyField: fc.Arbitrary<HeaderField> = fc.record({
  name,
  value,
  indexing: fc.constantFrom('kept' as const, 'once' as const, 'never' as const),
})
const latin = ({ name }: HeaderField) => ![...name].some((letter) => letter.charCodeAt(0) > 255)

t.test('what is encoded is decoded again, block after block, in tables of any size', (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.option(fc.nat(5000)), fc.array(anyField.filter(latin), { maxLength: 12 })), {
          maxLength: 12,
        }),
        (blocks) => {
          const encoder = new HpackEncoder()
          const decoder = new HpackDecoder()
          for (const [limit, fields] of blocks) {
            if (limit !== null) encoder.limit(limit)
            const found: HeaderField[] = []
            const whole = decoder.decode(encoder.encode(fields), (field) => found.push(field))
            if (!whole || JSON.stringify(found) !== JSON.stringify(fields)) throw new Error('differs')
          }
        },
      ),
      { numRuns: 1000 },
    ),
  )
  t.end()
})

t.test('a field that was sent once is one byte the next time, unless it must not be kept', (t) => {
  const encoder = new HpackEncoder()
  const kept = [{ name: 'x-some', value: 'thing', indexing: 'kept' as const }]
  const never = [{ name: 'x-some', value: 'thing', indexing: 'never' as const }]
  t.ok(encoder.encode(kept).length > 8)
  t.equal(encoder.encode(kept).length, 1)
  t.equal(encoder.encode(never)[0]! & 0xf0, 0x10, 'a literal that is never indexed')
  encoder.limit(0)
  t.equal(encoder.encode(kept)[0], 0x20, 'the table is told to be empty')
  t.end()
})

t.test('blocks that are malformed are said to be', (t) => {
  for (const [what, hex] of [
    ['an index of nothing', '80'],
    ['an index beyond the table', 'be'],
    ['a number without an end', 'ffffffffffff'],
    ['a string that is cut', '400a6162'],
    ['a table larger than allowed', '3fe21f'],
    ['a new table size after a field', '8220'],
    ['padding of more than seven bits', '0082ffff00'],
    ['padding that is not all ones', '00811800'],
  ] as const)
    t.equal(
      new HpackDecoder().decode(Buffer.from(hex, 'hex'), () => {}),
      false,
      what,
    )
  t.equal(
    new HpackDecoder().decode(Buffer.from('3fe11f82', 'hex'), () => {}),
    true,
  )
  t.end()
})
