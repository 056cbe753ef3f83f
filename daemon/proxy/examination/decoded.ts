/**
 * A body with its content codings undone (RFC 9110, 8.4), off the event loop and with a bound on what comes out. What
 * is cut short, damaged or followed by something is not decoded in part: a server might read on where we stopped.
 */
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib'
import { messageOf } from '../../base/errors.ts'

interface Step {
  readonly buffer: Buffer
  /** Its `bytesWritten` is what it read. */
  readonly engine: { readonly bytesWritten: number }
}
type Decode = (
  bytes: Buffer,
  options: { readonly maxOutputLength: number; readonly info: true },
  done: (error: Error | null, step: Step) => void,
) => void

const DECODERS = new Map<string, unknown>([
  ['gzip', gunzip],
  ['x-gzip', gunzip],
  ['deflate', inflate],
  ['br', brotliDecompress],
  ['zstd', zstdDecompress],
]) as ReadonlyMap<string, Decode>
/** More codings than this on top of one another are a bomb or a mistake. */
const MAX_CODINGS = 2
/** More than anybody makes of one body; a frame of nothing has nine bytes. */
const MAX_FRAMES = 64

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
      plain = await all(coding, decode, plain, maxOutputLength)
    } catch (error) {
      return { unreadable: `${coding} content that can’t be decoded (${messageOf(error).slice(0, 80)})` }
    }
  }
  return plain
}

/** A zstd content may be several frames (RFC 8878, 3.1), of which Node.js reads one; gzip's members it reads itself. */
async function all(coding: string, decode: Decode, bytes: Buffer, maxOutputLength: number): Promise<Buffer> {
  const made: Buffer[] = []
  let room = maxOutputLength
  for (let rest = bytes; rest.length > 0; ) {
    if (made.length >= (coding === 'zstd' ? MAX_FRAMES : 1)) throw new Error('something stands behind it')
    const { buffer, engine } = await step(decode, rest, room)
    made.push(buffer)
    room = Math.max(1, room - buffer.length)
    rest = rest.subarray(engine.bytesWritten)
  }
  return Buffer.concat(made)
}

const step = (decode: Decode, bytes: Buffer, maxOutputLength: number): Promise<Step> =>
  new Promise((resolve, reject) =>
    decode(bytes, { maxOutputLength, info: true }, (error, made) => (error ? reject(error) : resolve(made))),
  )
