/**
 * AWS event streams (derive/aws-event-stream.ts): a payload a text, and where Bedrock's InvokeModel puts the model
 * maker's event into it in base64, that too. A message that is changed gets its lengths and sums anew.
 */
import { crc32 } from 'node:zlib'
import type { Framed } from './framed.ts'

const PRELUDE = 12
const SUM = 4
/** The member that InvokeModel's chunks have. */
const INNER = /"bytes"\s*:\s*"([A-Za-z0-9+/=]+)"/

interface Message {
  readonly sent: Buffer
  readonly headers: Buffer
  /** Payload, or what stands before, in and after its base64. */
  readonly texts: readonly string[]
}

export function framedAws(bytes: Buffer): Framed | undefined {
  const messages: Message[] = []
  for (let at = 0; at < bytes.length; ) {
    const message = messageAt(bytes, at)
    if (message === undefined) return undefined
    messages.push(message)
    at += message.sent.length
  }
  return {
    texts: messages.flatMap(({ texts }) =>
      texts.map((text, i) => ({ text, kind: texts.length === 1 ? 'payload' : `part ${i}` })),
    ),
    with(texts) {
      let next = 0
      return Buffer.concat(
        messages.map((message) => {
          const those = texts.slice(next, next + message.texts.length)
          next += message.texts.length
          return those.every((text, i) => text === message.texts[i])
            ? message.sent
            : withTexts(message, those)
        }),
      )
    },
  }
}

/** @returns undefined where there is no whole message of text */
function messageAt(bytes: Buffer, at: number): Message | undefined {
  if (at + PRELUDE + SUM > bytes.length) return undefined
  const length = bytes.readUInt32BE(at)
  const payload = PRELUDE + bytes.readUInt32BE(at + 4)
  if (payload + SUM > length || at + length > bytes.length) return undefined
  const sent = bytes.subarray(at, at + length)
  const content = sent.subarray(payload, length - SUM)
  const text = content.toString('utf8')
  if (!Buffer.from(text).equals(content)) return undefined
  return { sent, headers: sent.subarray(PRELUDE, payload), texts: partsOf(text) }
}

function partsOf(text: string): string[] {
  const [found, encoded] = INNER.exec(text) ?? []
  if (found === undefined || encoded === undefined) return [text]
  const start = text.indexOf(found) + found.length - 1 - encoded.length
  const inner = Buffer.from(encoded, 'base64')
  const isSame = inner.toString('base64') === encoded && Buffer.from(inner.toString('utf8')).equals(inner)
  return isSame ? [text.slice(0, start), inner.toString('utf8'), text.slice(start + encoded.length)] : [text]
}

function withTexts({ headers }: Message, texts: readonly string[]): Buffer {
  const [before = '', inner, after = ''] = texts
  const payload = Buffer.from(
    inner === undefined ? before : before + Buffer.from(inner).toString('base64') + after,
  )
  const message = Buffer.alloc(PRELUDE + headers.length + payload.length + SUM)
  message.writeUInt32BE(message.length, 0)
  message.writeUInt32BE(headers.length, 4)
  message.writeUInt32BE(crc32(message.subarray(0, 8)), 8)
  headers.copy(message, PRELUDE)
  payload.copy(message, PRELUDE + headers.length)
  message.writeUInt32BE(crc32(message.subarray(0, -SUM)), message.length - SUM)
  return message
}
