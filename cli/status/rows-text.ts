/**
 * Labelled rows as text: as wide as the screen, or unwrapped where there is none. Texts may be a stranger's (a process'
 * name, a device, an error of a peer), so nothing unprintable comes through, and wide characters count as two columns.
 */
import { styleText } from 'node:util'
import wrapAnsi from 'wrap-ansi'
import type { Health } from '../../daemon/base/health.ts'
import { type Look, printable } from '../terminal.ts'
import type { Verdict } from './verdict.ts'

type Tone = Verdict | Health['severity'] | 'label'

const STYLE: Record<Tone, Parameters<typeof styleText>[0]> = {
  holds: ['bold', 'green'],
  warnings: ['bold', 'yellow'],
  errors: ['bold', 'red'],
  starting: ['bold', 'yellow'],
  stopping: ['bold', 'yellow'],
  'not-running': ['bold', 'red'],
  unknown: ['bold', 'red'],
  error: ['bold', 'red'],
  warning: ['bold', 'yellow'],
  info: 'bold',
  label: 'dim',
}

const LABEL = 13
/** Narrower, labels stand on lines of their own. */
const LEAST_TEXT = 24
const INDENT = 2

/** @param tone of each first cell */
export function rowsText(
  rows: readonly (readonly string[])[],
  look: Look,
  tone: () => Tone = () => 'label',
): string {
  return rows.map((row) => rowText(row.map(printable), look, tone())).join('\n')
}

function rowText(cells: readonly string[], { columns, colour }: Look, tone: Tone): string {
  const paint = (text: string) =>
    colour && text !== '' ? styleText(STYLE[tone], text, { validateStream: false }) : text
  const [label = '', text] = cells
  if (text === undefined) return wrapped(label, columns).map(paint).join('\n')
  const beside = columns === undefined || columns - LABEL >= LEAST_TEXT
  const lines = wrapped(text, columns && columns - (beside ? LABEL : INDENT))
  const head = beside ? paint(label) + ' '.repeat(LABEL - label.length) : paint(label)
  const margin = ' '.repeat(beside ? LABEL : INDENT)
  if (beside) return lines.map((line, i) => (i === 0 ? head : margin) + line).join('\n')
  return [...(label === '' ? [] : [head]), ...lines.map((line) => margin + line)].join('\n')
}

/** @param columns unlimited where undefined */
function wrapped(text: string, columns: number | undefined): string[] {
  if (columns === undefined) return [text]
  return wrapAnsi(text, Math.max(1, columns), { hard: true }).split('\n')
}
