/** What a shell can offer at each place of a command line, from the command table; pure. */
import { type DescribedCommand, type DescribedOption, flattened } from '../command-table.ts'

/** What a value is, as far as a shell can help. */
export type Value = { readonly of: 'files' | 'directories' | 'unknown' } | { readonly of: readonly string[] }

export interface Word {
  readonly word: string
  readonly description: string
}

export interface OptionWord extends Word {
  readonly value?: Value
  /** An option that only may have a value is taken for one without. */
  readonly valueWanted: boolean
}

export interface Place {
  /** Of the command that was typed so far. */
  readonly path: string
  readonly commands: readonly Word[]
  readonly options: readonly OptionWord[]
  /** What its arguments may be, where a shell can help. */
  readonly arguments: readonly Value[]
}

export interface Words {
  readonly places: readonly Place[]
  /** Options that are taken at each place. */
  readonly anywhere: readonly OptionWord[]
}

const HELP: DescribedOption = { usage: '-h, --help', names: ['-h', '--help'], description: 'its help' }
const HELP_COMMAND: Word = { word: 'help', description: 'the help of a command' }

export function wordsOf(table: DescribedCommand): Words {
  const isVersion = ({ names }: DescribedOption) => names.includes('--version')
  const places = flattened(table).map(({ path, commands, options, arguments: given }) => ({
    path,
    commands: [
      ...commands.map((each) => ({ word: each.path.split(' ').at(-1) ?? '', description: each.description })),
      ...(path === '' ? [HELP_COMMAND] : []),
    ],
    options: (path === '' ? options.filter(isVersion) : options).flatMap(optionWords),
    arguments: given.map(({ usage, choices }) => kindOf(usage, choices)).filter(({ of }) => of !== 'unknown'),
  }))
  const anywhere = [...table.options.filter((option) => !isVersion(option)), HELP].flatMap(optionWords)
  return { places, anywhere }
}

const optionWords = ({ names, description, value }: DescribedOption): OptionWord[] =>
  names.map((word) => ({
    word,
    description,
    ...(value === undefined ? {} : { value: kindOf(value.name, value.choices) }),
    valueWanted: value?.required === true,
  }))

function kindOf(name: string, choices: readonly string[]): Value {
  if (choices.length > 0) return { of: choices }
  // A verifier key may be given as a file.
  if (/\b(file|vkey)\b/.test(name)) return { of: 'files' }
  return { of: /\bdirectory\b/.test(name) ? 'directories' : 'unknown' }
}

/** The cases of bash and zsh in which the word before wants a value: at which place, after which option. */
export const valueCases = (
  { places, anywhere }: Words,
  offer: (value: Value | undefined) => string,
): string[] =>
  [...places, { path: undefined, options: anywhere }].flatMap(({ path, options }) =>
    options
      .filter(({ valueWanted }) => valueWanted)
      .map(({ word, value }) => {
        const at = path === undefined ? `*${quoted(`:${word}`)}` : quoted(`${path}:${word}`)
        return `    ${at}) ${offer(value)}; return ;;`
      }),
  )

/** Patterns of all commands, as what is typed so far goes on. */
export const commandPatterns = ({ places }: Words, quote = quoted): string[] =>
  places.filter(({ path }) => path !== '').map(({ path }) => quote(` ${path}`))

/** In single quotes of bash and zsh. */
export const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
