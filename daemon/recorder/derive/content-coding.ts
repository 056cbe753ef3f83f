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

/** A zstd content may be several frames (RFC 8878, 3.1), of which Node.js reads one; more than a stream has events. */
const MAX_FRAMES = 10_000

const bound = { maxOutputLength: MAX_DECODED, info: true } as const
const zlib = { ...bound, finishFlush: constants.Z_SYNC_FLUSH }

interface Step {
  readonly buffer: Buffer
  /** Its `bytesWritten` is what it read. */
  readonly engine: { readonly bytesWritten: number }
}
/** Node.js' types don't know what `info` makes of the result. */
const step = (made: unknown) => made as Step

const DECODERS: Record<string, (bytes: Buffer) => Step> = {
  gzip: (bytes) => step(gunzipSync(bytes, zlib)),
  deflate: (bytes) => {
    // RFC 9110, 8.4.1.2: some senders leave the zlib wrapper out.
    const wrapped = bytes.length >= 2 && (bytes[0]! & 15) === 8 && bytes.readUInt16BE(0) % 31 === 0
    return step(wrapped ? inflateSync(bytes, zlib) : inflateRawSync(bytes, zlib))
  },
  br: (bytes) =>
    step(brotliDecompressSync(bytes, { ...bound, finishFlush: constants.BROTLI_OPERATION_FLUSH })),
  zstd: (bytes) => step(zstdDecompressSync(bytes, { ...bound, finishFlush: constants.ZSTD_e_flush })),
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
      const made = allOf(decoder, decoded, coding === 'zstd' ? MAX_FRAMES : 1)
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

/** @returns undefined where a detector would be shown a part for the whole */
function allOf(decoder: (bytes: Buffer) => Step, bytes: Buffer, mostFrames: number): Buffer | undefined {
  const made: Buffer[] = []
  let size = 0
  for (let rest = bytes; rest.length > 0; ) {
    if (made.length === mostFrames) return undefined
    const { buffer, engine } = decoder(rest)
    size += buffer.length
    if (size > MAX_DECODED) throw Object.assign(new Error('too much'), { code: 'ERR_BUFFER_TOO_LARGE' })
    made.push(buffer)
    rest = rest.subarray(engine.bytesWritten)
  }
  return Buffer.concat(made)
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
