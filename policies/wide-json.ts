/**
 * JSON in UTF-16 or UTF-32, told as RFC 4627, 3 has it: the first character is ASCII, so zeros stand around it. RFC 8259
 * allows UTF-8 alone, but Python's `json.loads` takes these too, and with it many a server.
 */
import { type JsonText, readJson } from './json-strings.ts'

const MARK = '\ufeff'

export const withoutMark = (text: string): string => (text.startsWith(MARK) ? text.slice(1) : text)

/** @returns undefined where it is no such JSON */
export function wideJson(bytes: Buffer): { readonly text: string; readonly json: JsonText } | undefined {
  const decode = decoderOf(bytes)
  if (decode === undefined) return undefined
  const text = withoutMark(decode(bytes))
  const json = readJson(text)
  return 'unreadable' in json ? undefined : { text, json }
}

function decoderOf(bytes: Buffer): ((bytes: Buffer) => string) | undefined {
  if (bytes.length < 2) return undefined
  const [a, b, c = 1, d = 1] = bytes as Iterable<number>
  if (a === 0 && b === 0 && (c === 0 || (c === 0xfe && d === 0xff)))
    return utf32((at) => bytes.readUInt32BE(at))
  if (c === 0 && d === 0 && (b === 0 || (a === 0xff && b === 0xfe)))
    return utf32((at) => bytes.readUInt32LE(at))
  if (a === 0 || (a === 0xfe && b === 0xff))
    return (all) =>
      Buffer.from(all.subarray(0, all.length & ~1))
        .swap16()
        .toString('utf16le')
  if (b === 0 || (a === 0xff && b === 0xfe)) return (all) => all.toString('utf16le')
  return undefined
}

const utf32 =
  (unitAt: (at: number) => number) =>
  (bytes: Buffer): string => {
    let text = ''
    for (let at = 0; at + 4 <= bytes.length; at += 4) {
      const unit = unitAt(at)
      if (unit > 0x10ffff) return ''
      text += String.fromCodePoint(unit)
    }
    return text
  }
