/** Ways to spoil well-formed bytes: as noise on a line would, and as somebody would who knows the formats. */
import fc from 'fast-check'

/** What parsers are known to stumble over; put in place of a value, or anywhere. */
const TOKENS = [
  ...['null', 'true', '[]', '{}', '""', '0', '-1', '1e308', '1e999', '-0', '0.1', '9007199254740993'],
  ...[
    '"__proto__"',
    '{"__proto__":{"id":1}}',
    '"constructor"',
    '"\\ud800"',
    '"\\u0000"',
    '[[[[[[[[',
    '}}}}}}}}',
  ],
  ...['\n\n', '\r', 'data:', 'data: {', 'event: x\n', ': c\n', '"', '\\', ',', '\ufeff', '\0\0\0\0', 'ÿÿÿÿ'],
  `"${'x'.repeat(3000)}"`,
  `[${'0,'.repeat(300)}0]`,
].map((token) => Buffer.from(token))

interface Spoiling {
  readonly how: 'flip' | 'cut' | 'drop' | 'repeat' | 'insert' | 'value'
  readonly at: number
  readonly size: number
  readonly token: number
}

export const spoilings: fc.Arbitrary<Spoiling[]> = fc.array(
  fc.record({
    how: fc.constantFrom('flip', 'cut', 'drop', 'repeat', 'insert', 'value'),
    at: fc.nat({ max: 4096 }),
    size: fc.nat({ max: 64 }),
    token: fc.nat({ max: TOKENS.length - 1 }),
  }),
  { maxLength: 4 },
)

export function spoil(bytes: Buffer, how: readonly Spoiling[]): Buffer {
  return how.reduce(spoilOnce, bytes)
}

function spoilOnce(bytes: Buffer, { how, at, size, token }: Spoiling): Buffer {
  const from = bytes.length === 0 ? 0 : at % bytes.length
  const before = bytes.subarray(0, from)
  switch (how) {
    case 'flip': {
      const copy = Buffer.from(bytes)
      if (copy.length > 0) copy[from]! ^= size + 1
      return copy
    }
    case 'cut':
      return before
    case 'drop':
      return Buffer.concat([before, bytes.subarray(from + size)])
    case 'repeat':
      return Buffer.concat([before, bytes.subarray(from, from + size), bytes.subarray(from)])
    case 'insert':
      return Buffer.concat([before, TOKENS[token]!, bytes.subarray(from)])
    case 'value':
      return otherValue(bytes, at, TOKENS[token]!)
  }
}

/** Leaves the JSON whole and puts another value where one was. */
function otherValue(bytes: Buffer, at: number, token: Buffer): Buffer {
  const text = bytes.toString('latin1')
  const values = [...text.matchAll(/(?<=[:[,] ?)(?:"(?:[^"\\]|\\.)*"|-?\d[\d.]*|null|true|false)(?=[,}\]])/g)]
  if (values.length === 0) return bytes
  const { index, 0: value } = values[at % values.length]!
  return Buffer.concat([bytes.subarray(0, index), token, bytes.subarray(index + value.length)])
}
