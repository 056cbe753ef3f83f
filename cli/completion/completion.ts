/** The completions by shell; pure. */
import type { DescribedCommand } from '../command-table.ts'
import { bashCompletion } from './bash.ts'
import { fishCompletion } from './fish.ts'
import { type Words, wordsOf } from './words.ts'
import { zshCompletion } from './zsh.ts'

const MAKERS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const satisfies Readonly<
  Record<string, (words: Words) => string>
>
export type Shell = keyof typeof MAKERS
export const SHELLS = Object.keys(MAKERS) as Shell[]

export const completionFor = (shell: Shell, table: DescribedCommand): string => MAKERS[shell](wordsOf(table))
