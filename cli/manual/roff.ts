/** Text in the language of man(7): a line that begins with a dot or a quote is a command to it, a backslash an escape. */

const BEYOND = /[^\x20-\x7e\n]/gu
const named = (one: string): string =>
  `\\[u${one.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0')}]`

/** Hyphens of commands are minus signs: they can be copied. */
const escaped = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replace(/^\./, '\\&.')
    .replace(BEYOND, named)

export const bold = (text: string): string => `\\fB${escaped(text)}\\fR`

export const section = (name: string): string => `.SH ${name}`

/** @param heading escaped already */
export const subsection = (heading: string): string => `.SS ${heading}`

const plain = (text: string): string => escaped(text).replace(/\n+/g, '\n.br\n')

export const paragraph = (text: string): string => `.PP\n${plain(text)}`

/** @param tag escaped already */
export const indented = (tag: string, text: string): string => `.TP\n${tag}\n${plain(text)}`
