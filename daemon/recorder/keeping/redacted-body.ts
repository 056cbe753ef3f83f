/** One side's body, whole, with what detectors find in it replaced; or what they find alone. */
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import type { OwnDetectors } from '../../../policies/detectors/detect.ts'
import { BodyContent } from '../../../policies/request-content.ts'
import { redactedStream } from '../../../policies/stream-content.ts'
import { decodeContent } from '../derive/content-coding.ts'
import { framingOf } from '../derive/framing.ts'
import type { Head } from '../derive/http-head.ts'
import { type Framed, isText } from './framed.ts'
import { framedBody } from './framed-body.ts'
import { framedMessages } from './framed-messages.ts'

export interface SentBody {
  readonly head: Head
  /** Its bytes are messages of a WebSocket (web-socket-body.ts). */
  readonly isTurn: boolean
  readonly sent: Buffer
}

export interface RedactedBody {
  /** In the same content coding, so that it still is what its head says; as sent where nothing was found. */
  readonly bytes: Buffer
  readonly count: number
  /** Each kind of what was found once. */
  readonly found: readonly string[]
}

interface Plain {
  readonly count: number
  readonly found: readonly string[]
  /** Content coding undone; asked for only where something was found. */
  bytes(): Buffer
}

const ENCODERS: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  gzip: gzipSync,
  'x-gzip': gzipSync,
  deflate: deflateSync,
  br: brotliCompressSync,
  zstd: zstdCompressSync,
}

/** @returns undefined where it can't be looked into */
export function redactedBody(
  { head, isTurn, sent }: SentBody,
  own: OwnDetectors,
  names: readonly string[],
): RedactedBody | undefined {
  const decoded = isTurn ? { bytes: sent } : decodeContent(head, sent)
  if ('unparsed' in decoded) return undefined
  const { bytes } = decoded
  const framing = isTurn ? undefined : framingOf(head, bytes)
  const events = isTurn ? framedMessages(bytes) : framing && framedBody(framing, bytes)
  const isDocument = !isTurn && framing === undefined
  const plain = isDocument ? ofDocument(bytes, own, names) : ofEvents(events, own, names)
  if (plain === undefined) return undefined
  const { count, found } = plain
  if (count === 0) return { bytes: sent, count, found }
  return { bytes: isTurn ? plain.bytes() : encoded(head, plain.bytes()), count, found }
}

function ofDocument(bytes: Buffer, own: OwnDetectors, names: readonly string[]): Plain | undefined {
  if (!isText(bytes)) return undefined
  const content = new BodyContent(bytes)
  // Lines of JSON under another type, or a document that was broken off.
  const isLines = content.notJson !== undefined && /^\s*\{/.test(bytes.toString('latin1', 0, 64))
  const plain = isLines ? ofEvents(framedBody('lines', bytes), own, names) : ofText(content, own, names)
  if (plain === undefined || content.notJson === undefined) return plain
  // In what is nearly JSON (`NaN`) an escape may hide what was not replaced.
  return new BodyContent(plain.bytes()).finds(own, names).length > 0 ? undefined : plain
}

function ofText(content: BodyContent, own: OwnDetectors, names: readonly string[]): Plain {
  const { text, count, found } = content.redacted(own, names)
  return { count, found, bytes: () => Buffer.from(text) }
}

function ofEvents(
  events: Framed | undefined,
  own: OwnDetectors,
  names: readonly string[],
): Plain | undefined {
  const redacted = events && redactedStream(events.texts, own, names)
  if (events === undefined || redacted === undefined || 'unreadable' in redacted) return undefined
  const { count, found, texts } = redacted
  return { count, found, bytes: () => events.with(texts) }
}

function encoded(head: Head, plain: Buffer): Buffer {
  const codings = (head.fields.get('content-encoding') ?? []).flatMap((value) => value.split(','))
  return codings.reduce<Buffer>(
    (bytes, coding) => ENCODERS[coding.trim().toLowerCase()]?.(bytes) ?? bytes,
    plain,
  )
}
