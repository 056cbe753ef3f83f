/**
 * The body of a WebSocket turn: the messages of one side, decompressed and put together, readable as they are.
 *
 *   kind length [rsv=N] [more]\n bytes \n
 *
 * one after the other. `kind` is text, binary or close (bytes: u16 code ‖ reason); `rsv` are the reserved bits of a
 * message under an extension that the gateway doesn't know; `more`: the message goes on in the next entry. A length
 * stands before the bytes, so nothing in a message can pass for another one.
 */

export type MessageKind = 'text' | 'binary' | 'close'

export interface Message {
  readonly kind: MessageKind
  /** Reserved bits of its first frame that no known extension explains. */
  readonly rsv: number
  readonly bytes: Buffer
}

export interface Piece extends Message {
  /** The message goes on in the next piece. */
  readonly more: boolean
}

/** A head's longest form is 39 bytes. */
const MAX_HEAD = 64
const HEAD = /^(text|binary|close) (0|[1-9]\d{0,14})(?: rsv=([1-7]))?( more)?$/
const NEWLINE = Buffer.from('\n')

export function encodePiece({ kind, rsv, bytes, more }: Piece): Buffer[] {
  const head = `${kind} ${bytes.length}${rsv === 0 ? '' : ` rsv=${rsv}`}${more ? ' more' : ''}\n`
  return [Buffer.from(head), bytes, NEWLINE]
}

/** Pieces as they stand in a body, or in one frame of the recorder's protocol; stops where it is none any more. */
export function* piecesOf(body: Buffer): Generator<Piece> {
  let at = 0
  while (at < body.length) {
    const end = body.subarray(at, at + MAX_HEAD).indexOf(NEWLINE)
    const head = end < 0 ? null : HEAD.exec(body.toString('latin1', at, at + end))
    if (!head) return
    const start = at + end + 1
    const [, kind, length, rsv = 0, more] = head
    const bytes = body.subarray(start, start + Number(length))
    if (bytes.length < Number(length)) return
    yield { kind: kind as MessageKind, rsv: Number(rsv), bytes, more: more !== undefined }
    at = start + bytes.length + 1
  }
}

/** Whole messages, and what there is of a last one. */
export function* messagesOf(body: Buffer): Generator<Message> {
  let parts: Buffer[] = []
  let open: Piece | undefined
  for (const piece of piecesOf(body)) {
    open ??= piece
    parts.push(piece.bytes)
    if (piece.more) continue
    yield { kind: open.kind, rsv: open.rsv, bytes: joined(parts) }
    parts = []
    open = undefined
  }
  if (open) yield { kind: open.kind, rsv: open.rsv, bytes: joined(parts) }
}

const joined = (parts: readonly Buffer[]) =>
  parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)
