/** One side of a WebSocket's turn (web-socket-body.ts): a text a message, and the reason of a close. */
import { lexJson } from '../../../policies/json-strings.ts'
import type { StreamText } from '../../../policies/stream-content.ts'
import { encodePiece, type Message, messagesOf } from '../web-socket-body.ts'
import { type Framed, isText } from './framed.ts'

/** A close's code stands before its reason. */
const CODE = 2

/** @returns undefined where a message can't be looked into */
export function framedMessages(body: Buffer): Framed | undefined {
  const messages = [...messagesOf(body)]
  const texts = messages.map(textOf)
  if (texts.includes(undefined)) return undefined
  return {
    texts: texts as StreamText[],
    with: (others) =>
      Buffer.concat(
        messages.flatMap(({ kind, rsv, bytes }, i) => {
          const text = Buffer.from(others[i] as string)
          const whole = kind === 'close' ? Buffer.concat([bytes.subarray(0, CODE), text]) : text
          return encodePiece({ kind, rsv, bytes: whole, more: false })
        }),
      ),
  }
}

function textOf({ kind, rsv, bytes }: Message): StreamText | undefined {
  const content = kind === 'close' ? bytes.subarray(CODE) : bytes
  if (rsv !== 0 || !isText(content)) return undefined
  const text = content.toString('utf8')
  // Gemini Live sends its JSON in binary messages; anything else there may be of any form.
  if (kind === 'binary' && !isJson(text)) return undefined
  return { text, kind }
}

function isJson(text: string): boolean {
  const lexed = lexJson(text)
  return 'likeJson' in lexed && lexed.likeJson
}
