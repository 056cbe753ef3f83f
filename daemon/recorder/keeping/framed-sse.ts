/** Server-sent events (WHATWG HTML, 9.2): the data of an event is one text, whatever else its lines say are others. */
import type { Framed } from './framed.ts'

/** Field's name, colon and space; value; end of the line. */
const LINE = /(\ufeff?[^:\r\n]*(?:: ?)?)([^\r\n]*)(\r\n|\n|\r|$)/y

interface Line {
  readonly prefix: string
  readonly end: string
  /** Index of its text, and which of that text's lines it is; absent of an empty line. */
  readonly text?: number
  readonly line: number
}

export function framedSse(bytes: Buffer): Framed {
  const body = bytes.toString('utf8')
  const lines: Line[] = []
  const texts: { text: string; kind: string }[] = []
  let data: { text: number; lines: number } | undefined
  LINE.lastIndex = 0
  while (LINE.lastIndex < body.length) {
    const [, prefix = '', value = '', end = ''] = LINE.exec(body) ?? []
    const field = prefix.replace(/^\ufeff/, '').replace(/: ?$/, '')
    if (prefix === '' && value === '') {
      data = undefined
      lines.push({ prefix, end, line: 0 })
    } else if (field === 'data' && data) {
      texts[data.text]!.text += `\n${value}`
      lines.push({ prefix, end, text: data.text, line: ++data.lines })
    } else {
      const text = texts.length
      // A line without a colon is a field's name alone.
      const isName = !/: ?$/.test(prefix)
      texts.push({
        text: isName ? prefix : value,
        kind: field === 'data' ? 'data' : isName ? '' : `:${field}`,
      })
      if (field === 'data') data = { text, lines: 0 }
      lines.push({ prefix: isName ? '' : prefix, end, text, line: 0 })
    }
  }
  return { texts, with: (others) => Buffer.from(put(lines, others)) }
}

function put(lines: readonly Line[], texts: readonly string[]): string {
  const split: string[][] = []
  return lines
    .map(({ prefix, end, text, line }) => {
      if (text === undefined) return prefix + end
      split[text] ??= (texts[text] as string).split('\n')
      return prefix + (split[text][line] ?? '') + end
    })
    .join('')
}
