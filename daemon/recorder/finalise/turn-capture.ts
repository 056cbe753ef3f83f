/**
 * One side of a WebSocket's turn on its way into the body store: a message's pieces, which came as the network cut
 * them, put together. So what is stored depends on what was said alone, and what was said before costs nothing again.
 */
import type { Content } from '../derive/derive.ts'
import type { Part } from '../record.ts'
import { encodePiece, type Piece, piecesOf } from '../web-socket-body.ts'
import { Capture } from './capture.ts'

/** A longer message stays in pieces of this size. */
const MAX_JOINED = 16 << 20

export class TurnCapture extends Capture {
  #pieces: Piece[] = []
  #size = 0

  /** One frame's payload: whole pieces. What is none is stored as it is. */
  override write(payload: Buffer): void {
    let read = 0
    for (const piece of piecesOf(payload)) {
      for (const part of encodePiece(piece)) read += part.length
      this.#pieces.push(piece)
      this.#size += piece.bytes.length
      if (!piece.more || this.#size > MAX_JOINED) this.#flush()
    }
    if (read === payload.length) return
    this.#flush()
    super.write(payload.subarray(read))
  }

  override content(): Content {
    this.#flush()
    return super.content()
  }

  override finish(): Part {
    this.#flush()
    return super.finish()
  }

  /** Writes what there is of a message. */
  #flush(): void {
    const [first] = this.#pieces
    if (!first) return
    const bytes = Buffer.concat(this.#pieces.map((piece) => piece.bytes))
    const { more } = this.#pieces.at(-1) as Piece
    this.#pieces = []
    this.#size = 0
    super.write(Buffer.concat(encodePiece({ ...first, bytes, more })))
  }
}
