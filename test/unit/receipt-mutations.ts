/** What a liar may do to a receipt's file: one change each, of its bytes or of what they mean. */
import fc from 'fast-check'

const CHARACTERS = [' ', '0', 'A', '"', '\\', '\n', '=', '+', '—', '\u202e', '<b>']

/** Every value in a document, by the way to it. */
function ways(value: unknown, way: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  if (typeof value !== 'object' || value === null) return [way]
  return [way, ...Object.entries(value).flatMap(([key, inner]) => ways(inner, [...way, key]))]
}

/** The document with another value at the end of a way; undefined takes it away. */
function put(document: unknown, [step, ...rest]: readonly (string | number)[], value: unknown): unknown {
  if (step === undefined) return value
  const copy = structuredClone(document) as Record<string | number, unknown>
  const inner = put(copy[step], rest, value)
  if (inner === undefined) delete copy[step]
  else copy[step] = inner
  return copy
}

const at = (document: unknown, way: readonly (string | number)[]): unknown =>
  way.reduce((value, step) => (value as Record<string | number, unknown>)[step], document)

/** A string with one change in it. */
function spoiled(text: string, where: number, how: number): string {
  const place = where % (text.length + 1)
  const character = CHARACTERS[how % CHARACTERS.length]!
  const lines = text.split('\n')
  const line = where % lines.length
  const changes = [
    text.slice(0, place) + character + text.slice(place + 1),
    text.slice(0, place) + character + text.slice(place),
    text.slice(0, place) + text.slice(place + 1),
    lines.toSpliced(line, 1).join('\n'),
    lines.toSpliced(line, 0, lines[line]!).join('\n'),
    [...lines.slice(line), ...lines.slice(0, line)].join('\n'),
    text.slice(0, place),
    `${text}${text}`,
  ]
  return changes[(how + where) % changes.length]!
}

function changed(value: unknown, where: number, how: number): unknown {
  if (typeof value === 'string') return spoiled(value, where, how)
  if (typeof value === 'number') return [value + 1, -value, value / 2, `${value}`, 1e21][how % 5]
  if (Array.isArray(value))
    return [[...value, ...value], value.slice(1), [], {}, null, value.toReversed()][how % 6]
  return [null, [], '', 0, true, { ...(value as object), more: 1 }][how % 6]
}

/** Changed copies of one of the files; `other` values come out of another of them. */
export const mutatedReceipt = (files: readonly string[]): fc.Arbitrary<{ which: number; file: Buffer }> =>
  fc
    .tuple(fc.nat(files.length - 1), fc.nat(files.length - 1), fc.nat(), fc.nat(1000), fc.nat(3))
    .map(([which, other, where, how, kind]) => {
      const file = files[which]!
      if (kind === 0) {
        const bytes = Buffer.from(file)
        bytes[where % bytes.length]! ^= (how % 255) + 1
        return { which, file: bytes }
      }
      const document: unknown = JSON.parse(file)
      const all = ways(document)
      const way = all[where % all.length]!
      const foreign: unknown = JSON.parse(files[other]!)
      const theirs = ways(foreign)
      const value =
        kind === 1
          ? changed(at(document, way), where, how)
          : kind === 2
            ? at(foreign, theirs[how % theirs.length]!)
            : undefined
      return { which, file: Buffer.from(JSON.stringify(put(document, way, value)) ?? '') }
    })
