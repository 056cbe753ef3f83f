/**
 * Our lines in a text file that belongs to somebody else: one block between two marker lines, put at the
 * very beginning. There it needs no newline added to what the user wrote, so that removing it gives their
 * file back byte for byte; and where the last assignment wins, theirs does. Pure; texts are latin1, one
 * character a byte.
 */
import { CaError } from '../ca-error.ts'

const BEGIN = '# >>> agent-anchor-gateway >>>'
/** The file wasn't there before, perhaps not even its directories: once nothing but the block is left, they go too. */
const MADE = /^ \(file(?: and (\d+) above)? made by it\)$/
const END = '# <<< agent-anchor-gateway <<<'

export interface Split {
  /** What isn't ours, in one piece; undefined if there was no file before us and nothing was added. */
  readonly outside: string | undefined
  readonly hasBlock: boolean
  readonly created: boolean
  /** How many directories above the file were made for it. */
  readonly directories: number
}

/**
 * Takes the block out of a file's text (undefined: there is no file).
 * @throws CaError `environment-block-damaged` where the markers don't pair: we won't guess whose lines are whose
 */
export function splitBlock(path: string, text: string | undefined): Split {
  if (text === undefined) return { outside: undefined, hasBlock: false, created: true, directories: 0 }
  const lines = text.split(/(?<=\n)/)
  const positions = (isMarker: (line: string) => boolean) =>
    lines.flatMap((line, index) => (isMarker(line.replace(/\n$/, '')) ? [index] : []))
  const begins = positions((line) => madeOf(line) !== undefined)
  const ends = positions((line) => line === END)
  if (begins.length === 0 && ends.length === 0) {
    return { outside: text, hasBlock: false, created: false, directories: 0 }
  }
  const [begin, end] = [begins[0], ends[0]]
  if (begins.length !== 1 || ends.length !== 1 || begin === undefined || end === undefined || begin > end) {
    throw new CaError(
      'environment-block-damaged',
      `the lines that mark the gateway's block in ${path} don't pair`,
      `Edit ${path}: remove the lines "${BEGIN}" and "${END}" and the gateway's settings between them.`,
    )
  }
  const outside = lines.toSpliced(begin, end - begin + 1).join('')
  const { created, directories } = madeOf(lines[begin]!.replace(/\n$/, ''))!
  return { outside: created && outside === '' ? undefined : outside, hasBlock: true, created, directories }
}

/** What a begin marker says; undefined for any other line. */
function madeOf(line: string): { created: boolean; directories: number } | undefined {
  if (line === BEGIN) return { created: false, directories: 0 }
  const made = line.startsWith(BEGIN) ? MADE.exec(line.slice(BEGIN.length)) : null
  return made === null ? undefined : { created: true, directories: Number(made[1] ?? 0) }
}

/** The text with a block of `lines` (without newlines) before what isn't ours. */
export function joinBlock(
  { outside, created, directories }: Omit<Split, 'hasBlock'>,
  lines: readonly string[],
): string {
  const above = directories === 0 ? '' : ` and ${directories} above`
  const begin = created ? `${BEGIN} (file${above} made by it)` : BEGIN
  return `${[begin, ...lines, END].join('\n')}\n${outside ?? ''}`
}
