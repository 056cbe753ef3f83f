/**
 * How problems in a file are shown: `file:line:column: what`, the offending line, a caret below.
 *
 * Threat model: the file may be anybody's, and its text is printed on a terminal. Control characters are
 * replaced (no escape sequence gets through), lines are cut, and the number of problems is bounded.
 */
import type { Problem } from './policy-error.ts'

/** A problem with its place in the text, `start` and `end` as offsets in UTF-16 code units. */
export interface Finding {
  readonly start: number
  readonly end: number
  readonly message: string
}

/** More than anybody reads at once. */
const MOST_SHOWN = 20
/** Characters of a line that are shown round the caret. */
const WINDOW = 100

interface Place extends Problem {
  readonly text: string
  readonly width: number
}

function locate(text: string, finding: Finding): Place {
  const start = Math.min(Math.max(finding.start, 0), text.length)
  const lineStart = text.lastIndexOf('\n', start - 1) + 1
  const newline = text.indexOf('\n', start)
  const lineEnd = newline === -1 ? text.length : newline
  return {
    line: countLines(text, lineStart),
    column: start - lineStart + 1,
    message: finding.message,
    text: text.slice(lineStart, lineEnd).replace(/\r$/, ''),
    width: Math.max(1, Math.min(finding.end, lineEnd) - start),
  }
}

function countLines(text: string, end: number): number {
  let lines = 1
  for (let at = text.indexOf('\n'); at !== -1 && at < end; at = text.indexOf('\n', at + 1)) lines++
  return lines
}

/** Replaces what could move a terminal's cursor or change its colours (C0, DEL, C1, line and bidi controls). */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (character) =>
    character === '\t' ? ' ' : '\ufffd',
  )
}

function excerpt(place: Place): string {
  const from = Math.max(0, place.column - 1 - WINDOW / 2)
  const shown = printable(place.text.slice(from, from + WINDOW))
  const number = String(place.line)
  const indent = ' '.repeat(place.column - 1 - from)
  const caret = '^'.repeat(Math.max(1, Math.min(place.width, shown.length - indent.length)))
  return `  ${number} | ${shown}\n  ${' '.repeat(number.length)} | ${indent}${caret}`
}

/** The first findings as problems in the file's order, and as the text to show. */
export function describeFindings(
  file: string,
  text: string,
  findings: readonly Finding[],
): { problems: Problem[]; message: string } {
  const places = [...findings]
    .sort((a, b) => a.start - b.start)
    .slice(0, MOST_SHOWN)
    .map((finding) => locate(text, finding))
  const blocks = places.map(
    (place) => `${file}:${place.line}:${place.column}: ${printable(place.message)}\n${excerpt(place)}`,
  )
  const hidden = findings.length - places.length
  if (hidden > 0) blocks.push(`… and ${hidden} more`)
  return {
    problems: places.map(({ line, column, message }) => ({ line, column, message })),
    message: blocks.join('\n'),
  }
}
