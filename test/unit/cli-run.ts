/** The command line as a process, from a clean environment. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { type DescribedCommand, flattened } from '../../cli/command-table.ts'
import { compiledCode } from '../lab/compiled.ts'

export const MAIN = join(import.meta.dirname, '../../cli/main.ts')

export interface Answer {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** @param program absent: agent-anchor */
export function run(args: readonly string[], program?: string): Promise<Answer> {
  const [file, argv] =
    program === undefined
      ? [process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...args]]
      : [program, args]
  const env = { ...compiledCode, PATH: process.env.PATH, LANG: 'C.UTF-8', TERM: 'dumb' }
  return new Promise((resolve) => {
    const child = execFile(file, argv, { env }, (error, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr: stderr || (child.pid ? '' : String(error)) }),
    )
  })
}

/** As `agent-anchor manual --json` has it. */
export async function commandTable(): Promise<DescribedCommand> {
  const { code, stdout, stderr } = await run(['manual', '--json'])
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout).program
}

/** What is wrong with a command line by the table; undefined where nothing is. */
export function wrongWith(words: readonly string[], table: DescribedCommand): string | undefined {
  const all = new Map(flattened(table).map((command) => [command.path, command]))
  const global = new Set(['-h', '--help', ...table.options.flatMap(({ names }) => names)])
  let path = ''
  let takesValue = false
  for (const word of words) {
    const at = all.get(path)!
    const inner = `${path} ${word}`.trimStart()
    if (word.startsWith('-')) {
      const known = [...at.options, ...table.options].find(({ names }) => names.includes(word))
      if (known === undefined && !global.has(word)) return `no option ${word} of agent-anchor ${path}`
      takesValue = known?.value !== undefined
    } else if (takesValue) takesValue = false
    else if (all.has(inner)) path = inner
    else if (path === '' || at.arguments.length === 0) return `no command ${inner}`
  }
  return path === '' && words.length > 0 && !words.some((word) => word.startsWith('-'))
    ? 'no command'
    : undefined
}
