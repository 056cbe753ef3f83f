/**
 * Text for people. Captured names, paths and models come from hostile parties: control characters (escape
 * sequences, line feeds, bidirectional overrides) never reach a screen.
 */
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

export const printable = (text: string): string => text.replace(UNPRINTABLE, '\ufffd')

/** The same for JSON, where nothing is lost by it: as escapes, which mean the same characters. */
export const printableJson = (json: string): string =>
  json.replace(UNPRINTABLE, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** Columns padded to the widest cell, two spaces between; the last column is not padded. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  const clean = rows.map((row) => row.map(printable))
  for (const row of clean) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length)
  }
  return clean
    .map((row) =>
      row
        .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
