/** A program on a terminal of its own, as script(1) makes them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

export interface OnTerminal {
  readonly child: ChildProcess
  /** All that it has written. */
  shown(): string
  type(keys: string): void
  readonly code: Promise<number>
}

const word = (text: string) => `'${text.replaceAll("'", "'\\''")}'`

export function onTerminal(argv: readonly string[], env: NodeJS.ProcessEnv = {}): OnTerminal {
  const child = spawn('script', ['-qec', `exec ${argv.map(word).join(' ')}`, '/dev/null'], {
    env: { LANG: 'C.UTF-8', TERM: 'xterm-256color', PATH: process.env.PATH, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.on('data', (piece: Buffer) => {
    text += piece.toString()
  })
  return {
    child,
    shown: () => text,
    type: (keys) => void child.stdin.write(keys),
    code: once(child, 'close').then(([code]) => code as number),
  }
}
