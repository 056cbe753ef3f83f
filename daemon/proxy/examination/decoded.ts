/**
 * A body with its content codings undone (RFC 9110, 8.4), off the event loop and with a bound on what comes out. What
 * is cut short or damaged is not decoded in part: a server might read it otherwise.
 */
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib'
import { messageOf } from '../../base/errors.ts'

type Decode = (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>

const DECODERS: ReadonlyMap<string, Decode> = new Map<string, Decode>([
  ['gzip', promisify(gunzip)],
  ['x-gzip', promisify(gunzip)],
  ['deflate', promisify(inflate)],
  ['br', promisify(brotliDecompress)],
  ['zstd', promisify(zstdDecompress)],
])
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
      plain = await decode(plain, { maxOutputLength })
    } catch (error) {
      return { unreadable: `${coding} content that can’t be decoded (${messageOf(error).slice(0, 80)})` }
    }
  }
  return plain
}
