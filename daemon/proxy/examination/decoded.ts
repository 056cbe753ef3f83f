/**
 * A body with its content codings undone (RFC 9110, 8.4), off the event loop and with a bound on what comes out. What
 * is cut short or damaged is not decoded in part: a server might read it otherwise.
 */
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib'
import { messageOf } from '../../base/errors.ts'

/** With `info` zlib says how many bytes it has read; its types don't know. */
type Decode = (
  bytes: Buffer,
  options: { maxOutputLength: number; info: true },
) => Promise<{ readonly buffer: Buffer; readonly engine: { readonly bytesWritten: number } }>

const DECODERS: ReadonlyMap<string, Decode> = new Map(
  Object.entries({
    gzip: promisify(gunzip),
    'x-gzip': promisify(gunzip),
    deflate: promisify(inflate),
    br: promisify(brotliDecompress),
    zstd: promisify(zstdDecompress),
  }) as unknown as [string, Decode][],
)
/** zstd's frames follow one another (RFC 8878, 3.1), and one call decodes one. More than these are a play. */
const MAX_FRAMES = 256
/** More codings than this on top of one another are a bomb or a mistake. */
const MAX_CODINGS = 2

/** The codings of Content-Encoding's values, in the order applied. */
export const codingsOf = (values: readonly string[]): string[] =>
  values
    .flatMap((value) => value.split(','))
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== '' && coding !== 'identity')

/** @returns why it can't be decoded, where that is so */
export async function decoded(
  bytes: Buffer,
  codings: readonly string[],
  maxOutputLength: number,
): Promise<Buffer | { readonly unreadable: string }> {
  if (codings.length > MAX_CODINGS) return { unreadable: `${codings.length} content codings` }
  let plain = bytes
  for (const coding of codings.toReversed()) {
    const decode = DECODERS.get(coding)
    if (decode === undefined) return { unreadable: `the content coding ${coding.slice(0, 32)}` }
    try {
      plain = await whole(decode, plain, maxOutputLength, coding === 'zstd' ? MAX_FRAMES : 1)
    } catch (error) {
      return { unreadable: `${coding} content that can’t be decoded (${messageOf(error).slice(0, 80)})` }
    }
  }
  return plain
}

/** @throws the decoder's error; an Error where something stands behind the end, which a server might read */
async function whole(
  decode: Decode,
  bytes: Buffer,
  maxOutputLength: number,
  maxFrames: number,
): Promise<Buffer> {
  const parts: Buffer[] = []
  let rest = bytes
  let left = maxOutputLength
  do {
    const { buffer, engine } = await decode(rest, { maxOutputLength: Math.max(1, left), info: true })
    parts.push(buffer)
    left -= buffer.length
    rest = rest.subarray(engine.bytesWritten)
  } while (rest.length > 0 && parts.length < maxFrames)
  if (rest.length > 0) throw new Error('there is more behind its end')
  return Buffer.concat(parts)
}
