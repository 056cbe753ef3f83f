/** Asking before what can't be undone. */
import { createInterface } from 'node:readline/promises'
import { NotConfirmed } from './cli-error.ts'

/** Has the word typed on the terminal. @throws CliError NOT_CONFIRMED, also where there is no terminal */
export async function confirm(word: string): Promise<void> {
  if (!process.stdin.isTTY) throw new NotConfirmed(word)
  const asking = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await asking.question(`This can't be undone. Type "${word}" to go on: `)
  asking.close()
  if (answer.trim() !== word) throw new NotConfirmed(word)
}
