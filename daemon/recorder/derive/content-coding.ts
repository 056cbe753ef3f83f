/** Undoes Content-Encoding (RFC 9110, 8.4) with a bound on the output. An aborted stream gives what is there. */
import {
  brotliDecompressSync,
  constants,
  gunzipSync,
  inflateRawSync,
  inflateSync,
  zstdDecompressSync,
} from 'node:zlib'
import type { Head } from './http-head.ts'

const MAX_DECODED = 32 << 20
/** More codings than one on top of another are a bomb or a mistake. */
const MAX_CODINGS = 2

export type Decoded = { readonly bytes: Buffer } | { readonly unparsed: string }

/** zstd's frames follow one another (RFC 8878, 3.1), and one call decodes one. More than these are a play. */
const MAX_FRAMES = 4096

interface Options {
  readonly maxOutputLength: number
  readonly info: true
}
/** With `info` zlib says how many bytes it has read; its types don't know. */
interface Output {
  readonly buffer: Buffer
  readonly engine: { readonly bytesWritten: number }
}
type Decode = (bytes: Buffer, options: Options) => Output

const zlib = { finishFlush: constants.Z_SYNC_FLUSH }

const DECODERS = {
  gzip: (bytes: Buffer, options: Options) => gunzipSync(bytes, { ...options, ...zlib }),
  deflate: (bytes: Buffer, options: Options) => {
    // RFC 9110, 8.4.1.2: some senders leave the zlib wrapper out.
    const wrapped = bytes.length >= 2 && (bytes[0]! & 15) === 8 && bytes.readUInt16BE(0) % 31 === 0
    return wrapped
      ? inflateSync(bytes, { ...options, ...zlib })
      : inflateRawSync(bytes, { ...options, ...zlib })
  },
  br: (bytes: Buffer, options: Options) =>
    brotliDecompressSync(bytes, { ...options, finishFlush: constants.BROTLI_OPERATION_FLUSH }),
  zstd: (bytes: Buffer, options: Options) =>
    zstdDecompressSync(bytes, { ...options, finishFlush: constants.ZSTD_e_flush }),
} as unknown as Record<string, Decode>

/** @returns undefined where something else stands behind the end: a part must not be taken for the whole */
function whole(decode: Decode, bytes: Buffer, maxFrames: number): Buffer | undefined {
  const parts: Buffer[] = []
  let left = MAX_DECODED
  for (let rest = bytes; rest.length > 0; ) {
    if (parts.length === maxFrames) return undefined
    const { buffer, engine } = decode(rest, { maxOutputLength: Math.max(1, left), info: true })
    parts.push(buffer)
    left -= buffer.length
    rest = rest.subarray(engine.bytesWritten)
  }
  return Buffer.concat(parts)
}

export function isEncoded(head: Head): boolean {
  return codingsOf(head).length > 0
}

export function decodeContent(head: Head, bytes: Buffer): Decoded {
  const codings = codingsOf(head)
  if (codings.length > MAX_CODINGS) return { unparsed: `${codings.length} content codings` }
  let decoded = bytes
  for (const coding of codings.reverse()) {
    if (decoded.length === 0) break
    const decoder = Object.hasOwn(DECODERS, coding) ? DECODERS[coding] : undefined
    if (decoder === undefined) return { unparsed: `content coding ${coding.slice(0, 32)}` }
    try {
      const made = whole(decoder, decoded, coding === 'zstd' ? MAX_FRAMES : 1)
      if (made === undefined) return { unparsed: `something stands behind the ${coding} content` }
      decoded = made
    } catch (error) {
      const big = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
      return { unparsed: big ? `decodes to more than ${MAX_DECODED >> 20} MiB` : `damaged ${coding} content` }
    }
  }
  // A block that was broken off may have nothing to give.
  if (decoded.length === 0 && bytes.length > 0) return { unparsed: 'nothing of it can be decoded' }
  return { bytes: decoded }
}

/** In the order applied. */
function codingsOf(head: Head): string[] {
  return (head.fields.get('content-encoding') ?? [])
    .flatMap((value) => value.split(','))
    .map((coding) =>
      coding
        .trim()
        .toLowerCase()
        .replace(/^x-gzip$/, 'gzip'),
    )
    .filter((coding) => coding !== '' && coding !== 'identity')
}
