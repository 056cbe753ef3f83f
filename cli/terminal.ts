/** Text for a terminal: as for any screen. */
import type { WriteStream } from 'node:tty'

export { printable, printableJson, table } from '../daemon/base/printable.ts'

/** What a text may do where it goes. */
export interface Look {
  /** Unlimited where it isn't a terminal's. */
  readonly columns?: number | undefined
  readonly colour: boolean
}

export const PLAIN: Look = { colour: false }

type Stream = Partial<Pick<WriteStream, 'isTTY' | 'columns' | 'hasColors'>>

/** Colours go to a terminal that has some, unless NO_COLOR (no-color.org) or TERM=dumb is set: `hasColors` heeds both. */
export function lookOf(stream: Stream): Look {
  if (stream.isTTY !== true) return PLAIN
  // A character in a terminal's last column can be followed by nothing without its going to the next line.
  const columns = Math.max(1, (stream.columns || 80) - 1)
  return { columns, colour: stream.hasColors?.() === true }
}
