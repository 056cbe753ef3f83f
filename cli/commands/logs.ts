/** `agent-anchor logs`: what the daemon says about its own work, from its files, whatever starts it. */
import { InvalidArgumentError } from 'commander'
import { loadConfig } from '../../daemon/config/config.ts'
import { LEVELS, type Level, parseLine } from '../../daemon/supervisor/log-line.ts'
import { FileUnusable, NoLog, requireRoot } from '../cli-error.ts'
import { type GlobalOptions, print, printJson, type Register } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { followLog, storedLines } from '../logs/files.ts'
import { isWanted, parseSince, type Selection } from '../logs/selection.ts'
import { printable } from '../terminal.ts'

interface LogsOptions extends GlobalOptions, Selection {
  readonly follow?: boolean
  readonly lines?: number
}

/** Without a beginning: as much as somebody reads. */
const LINES = 200

const since = (text: string): number => {
  const time = parseSince(text, Date.now())
  if (time === undefined) throw new InvalidArgumentError('10m, 2h, 1d, or a time like 2026-11-26T09:00:00Z')
  return time
}

const level = (text: string): Level => {
  const found = LEVELS.find((one) => one === text)
  if (found === undefined) throw new InvalidArgumentError(`one of ${LEVELS.join(', ')}`)
  return found
}

const count = (text: string): number => {
  if (!/^[0-9]{1,9}$/.test(text)) throw new InvalidArgumentError('a number of lines is wanted')
  return Number(text)
}

export const logs: Register = (program, act) =>
  program
    .command('logs')
    .description('show what the daemon says about its own work (as root)')
    .option('--follow', 'go on with what is written, until Ctrl-C')
    .option('--since <time>', 'from then on: 10m, 2h, 1d, or a time like 2026-11-26T09:00:00Z', since)
    .option('--level <level>', `error, warn or info, and what is graver`, level)
    .option('--process <name>', 'of one process: supervisor, recorder, proxy-1, sensor …')
    .option('--lines <n>', `the last so many; ${LINES} where neither this nor --since is given`, count)
    .addHelpText('after', '\nWith --json and --follow each line is a document of its own.')
    .action(act((options) => show(options as LogsOptions)))

async function show(options: LogsOptions): Promise<ExitCode> {
  requireRoot('logs')
  const { logDir } = loadConfig(options.config)
  const most = options.lines ?? (options.since === undefined ? LINES : Number.POSITIVE_INFINITY)
  const enough = new AbortController()
  process.once('SIGINT', () => enough.abort())
  try {
    // First: no line falls between what is stored and what is written.
    const following = options.follow ? await followLog(logDir) : undefined
    const stored = await lastWanted(storedLines(logDir, following?.from), options, most)
    if (options.json && !following) printJson({ lines: stored.map(document) })
    else for (const text of stored) say(text, options.json)
    for await (const text of following?.lines(enough.signal) ?? [])
      if (isWanted(parseLine(text), options)) say(text, options.json)
    return ExitCode.healthy
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') throw new NoLog(logDir)
    if (path !== undefined) throw new FileUnusable('read', path, error)
    throw error
  }
}

async function lastWanted(lines: AsyncIterable<string>, wanted: Selection, most: number): Promise<string[]> {
  let found: string[] = []
  for await (const text of lines) {
    if (!isWanted(parseLine(text), wanted)) continue
    found.push(text)
    if (found.length >= 2 * most) found = found.slice(-most)
  }
  return most === 0 ? [] : found.slice(-most)
}

/** What the daemon did not write so is shown as it is. */
const document = (text: string) => parseLine(text) ?? { message: text }

const say = (text: string, json: boolean) => (json ? printJson(document(text)) : print(printable(text)))
