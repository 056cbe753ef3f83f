/**
 * Counts what tap's runner reports (TAP 14, one subtest a file, tests within it indented by four
 * spaces). What counts is a test directly in a file, whatever number of assertions and further tests it
 * holds, because that is what carries a name of a behaviour.
 */

export interface FileResult {
  readonly name: string
  readonly passed: number
  /** Each failed test as the runner printed it, with its diagnosis. */
  readonly failures: readonly string[]
  readonly milliseconds: number | undefined
}

interface Point {
  readonly ok: boolean
  readonly name: string
  readonly directive: string | undefined
  readonly milliseconds: number | undefined
}

/** Takes the runner's output line by line and gives each file's result as soon as it is whole. */
export class TapReport {
  /** The file whose subtest is open, and what its tests gave so far. */
  #passed = 0
  #failures: string[] = []
  /** Lines since the last test of the file began. */
  #lines: string[] = []
  /** A failed test whose diagnosis may follow. */
  #failing: string[] | undefined
  /** A file's own result, whose diagnosis may follow. */
  #finished: Point | undefined
  #finishedLines: string[] = []
  #inDiagnosis = false

  push(line: string): FileResult | undefined {
    if (this.#finished !== undefined) {
      if (this.#inDiagnosis || line === '  ---') {
        this.#finishedLines.push(line)
        this.#inDiagnosis = line !== '  ...'
        return undefined
      }
      const result = this.#close()
      this.#read(line)
      return result
    }
    this.#read(line)
    return undefined
  }

  /** The last file's result, if it is still open. */
  end(): FileResult | undefined {
    if (this.#finished !== undefined) return this.#close()
    const leftOver = this.#passed > 0 || this.#failures.length > 0 || this.#failing !== undefined
    if (!leftOver) return undefined
    this.#finished = {
      ok: false,
      name: 'the output broke off',
      directive: undefined,
      milliseconds: undefined,
    }
    return this.#close()
  }

  #read(line: string): void {
    if (this.#failing !== undefined) {
      if (this.#inDiagnosis || line === '      ---') {
        this.#failing.push(line)
        this.#inDiagnosis = line !== '      ...'
        return
      }
      this.#settleFailure()
    }
    const point = parsePoint(line)
    if (point !== undefined) {
      this.#finished = point
      this.#finishedLines = [line]
      return
    }
    const test = line.startsWith('    ') ? parsePoint(line.slice(4)) : undefined
    if (test === undefined) {
      if (line.startsWith('    # Subtest: ') || line.startsWith('# Subtest: ')) this.#lines = []
      this.#lines.push(line)
      return
    }
    if (test.ok && test.directive === undefined) this.#passed += 1
    else {
      // A test that was skipped or is still to be written proves nothing.
      const why = test.ok ? ['      did not run: skipped or still to do'] : []
      this.#failing = [...this.#lines, line, ...why]
    }
    this.#lines = []
  }

  #settleFailure(): void {
    if (this.#failing !== undefined) this.#failures.push(this.#failing.join('\n'))
    this.#failing = undefined
    this.#inDiagnosis = false
  }

  #close(): FileResult {
    this.#settleFailure()
    const file = this.#finished!
    const failures = this.#failures
    const proved = file.ok && file.directive === undefined && this.#passed > 0
    if (!proved && failures.length === 0) failures.push([...this.#lines, ...this.#finishedLines].join('\n'))
    const result = { name: file.name, passed: this.#passed, failures, milliseconds: file.milliseconds }
    this.#passed = 0
    this.#failures = []
    this.#lines = []
    this.#finished = undefined
    this.#finishedLines = []
    this.#inDiagnosis = false
    return result
  }
}

function parsePoint(line: string): Point | undefined {
  const parts = /^(not )?ok \d+(?: - (.*?))?(?: # (.*))?$/.exec(line)
  if (parts === null) return undefined
  const comment = parts[3] ?? ''
  const time = /^time=([\d.]+)ms/.exec(comment)?.[1]
  const directive = /^(skip|todo)\b/i.exec(comment)?.[0]
  return {
    ok: parts[1] === undefined,
    name: parts[2] ?? '',
    directive,
    milliseconds: time === undefined ? undefined : Number(time),
  }
}
