import { spawn } from 'node:child_process'
import { compiledCode } from '../lab/compiled.ts'

interface Ended {
  /** Exit status, or 1 where a signal ended the program. */
  readonly code: number
  /** stdout and stderr as they came; the last megabyte. */
  readonly output: string
}

const KEPT = 1024 * 1024

/** Runs a Node program of this repository with this process's environment; `onLine` gets its stdout. */
export async function runNode(argv: readonly string[], onLine?: (line: string) => void): Promise<Ended> {
  const env = { ...process.env, ...compiledCode }
  const child = spawn(process.execPath, argv, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  const keep = (text: string) => {
    output = (output + text).slice(-KEPT)
  }
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (onLine === undefined) return keep(text)
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) onLine(line)
  })
  child.stderr.setEncoding('utf8').on('data', keep)
  const code = await new Promise<number>((done, failed) => {
    child.once('error', failed)
    child.once('close', (status) => done(status ?? 1))
  })
  if (rest !== '') onLine?.(rest)
  return { code, output }
}
