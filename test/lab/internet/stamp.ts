/** When an event left the server, in a comment of the event stream before it, so that its way can be timed. */

/** Milliseconds since the epoch, three decimals: of a length that framing can count on ahead. */
const DIGITS = 17
const MARK = ': sent '
const STAMP = /^: sent (\d{13}\.\d{3})$/gm

/** An event with room for its time. */
export const stampable = (event: string): string => `${MARK}${'0'.repeat(DIGITS)}\n${event}`

/** Puts the present time where there is room for it. */
export function stampNow(piece: Buffer): void {
  const at = piece.indexOf(MARK)
  if (at < 0) return
  piece.write((performance.timeOrigin + performance.now()).toFixed(3), at + MARK.length, 'latin1')
}

/** The times that stand in a piece of a stream. */
export const stampsIn = (text: string): number[] => [...text.matchAll(STAMP)].map(([, time]) => Number(time))
