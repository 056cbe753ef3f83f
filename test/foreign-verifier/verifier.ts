/** The foreign verifier as a test drives it: built offline from Debian's package, asked over a pipe. */
import {
  type ChildProcess,
  type ChildProcessByStdio,
  execFileSync,
  type SpawnOptions,
  spawn,
} from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'

export interface Answer {
  readonly ok: boolean
  readonly error?: string
  readonly size: bigint
  readonly cosigned: number
  readonly tiles: number
  readonly proof: readonly Buffer[]
  readonly checkpoint?: string
}

/** Buffers travel as base64, sizes as decimal strings. */
export type Question = Readonly<
  Record<string, string | bigint | boolean | Buffer | readonly (Buffer | string)[]>
>

type Start = (argv: readonly [string], options: SpawnOptions) => ChildProcess

export class ForeignVerifier {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>
  readonly #waiting: PromiseWithResolvers<Answer>[] = []

  private constructor(started: ChildProcess) {
    this.#process = started as ChildProcessByStdio<Writable, Readable, null>
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      this.#waiting.shift()?.resolve(answerIn(line))
    })
    this.#process.once('exit', () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error('the foreign verifier ended'))
    })
  }

  /** @param start how it is started, if it is to see another network */
  static build(start: Start = (argv, options) => spawn(argv[0], options)): ForeignVerifier {
    const scratch = mkdtempSync(join(tmpdir(), 'foreign-verifier-'))
    const binary = join(scratch, 'verifier')
    try {
      execFileSync('go', ['build', '-o', binary, '.'], {
        cwd: import.meta.dirname,
        env: {
          PATH: '/usr/bin:/bin',
          HOME: scratch,
          // Debian's copy of golang.org/x/mod, no module proxy.
          GOPATH: '/usr/share/gocode',
          GO111MODULE: 'off',
          GOCACHE: join(scratch, 'cache'),
          CGO_ENABLED: '0',
        },
      })
      const verifier = new ForeignVerifier(start([binary], { stdio: ['pipe', 'pipe', 'inherit'], env: {} }))
      verifier.#process.once('exit', () => rmSync(scratch, { recursive: true, force: true }))
      return verifier
    } catch (error) {
      rmSync(scratch, { recursive: true, force: true })
      throw error
    }
  }

  ask(op: string, question: Question): Promise<Answer> {
    const waiting = Promise.withResolvers<Answer>()
    this.#waiting.push(waiting)
    this.#process.stdin.write(`${JSON.stringify({ op, ...encoded(question) })}\n`)
    return waiting.promise
  }

  async end(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve))
    this.#process.stdin.end()
    await ended
  }
}

function encoded(question: Question): object {
  const plain = (value: unknown): unknown =>
    Buffer.isBuffer(value)
      ? value.toString('base64')
      : typeof value === 'bigint'
        ? String(value)
        : Array.isArray(value)
          ? value.map(plain)
          : value
  return Object.fromEntries(Object.entries(question).map(([key, value]) => [key, plain(value)]))
}

function answerIn(line: string): Answer {
  const { size, proof, checkpoint, ...rest } = JSON.parse(line) as Omit<
    Answer,
    'size' | 'proof' | 'checkpoint'
  > & {
    size: string
    proof?: string[]
    checkpoint?: string
  }
  return {
    ...rest,
    size: BigInt(size),
    proof: (proof ?? []).map((hash) => Buffer.from(hash, 'base64')),
    ...(checkpoint === undefined ? {} : { checkpoint: Buffer.from(checkpoint, 'base64').toString() }),
  }
}
