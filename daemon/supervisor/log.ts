/**
 * Log of operation (not the log of records): winston, rotated by size. Lines carry no content of exchanges.
 *
 * The files are what `agent-anchor logs` reads, with or without systemd, and are bounded whatever the journal's settings
 * are. Beside them each line goes to the journal where there is one, else to stderr.
 */
import { join } from 'node:path'
import winston from 'winston'
import { journalStream, stderrIsJournal } from './journal.ts'
import { formatLine, LEVELS, type Level, LOG_FILES, LOG_NAME, type LogLine } from './log-line.ts'

export type Log = winston.Logger

const FILE_BYTES = 10_000_000

/** @param directory where the log is kept: 5 files of 10 MB */
export function openLog(directory: string): Log {
  const format = winston.format((info) => {
    const { level, message, child } = info
    const line: LogLine = {
      time: new Date().toISOString(),
      level: level as Level,
      process: typeof child === 'string' ? child : 'supervisor',
      message: String(message),
    }
    return Object.assign(info, { line })
  })
  const text = winston.format.printf((info) => formatLine(info.line as LogLine))
  const file = new winston.transports.File({
    filename: join(directory, `${LOG_NAME}.log`),
    maxsize: FILE_BYTES,
    maxFiles: LOG_FILES,
    tailable: true,
  })
  const log = winston.createLogger({
    level: 'info',
    format: winston.format.combine(format(), text),
    transports: [file],
  })
  if (stderrIsJournal()) log.pipe(journalStream())
  else log.add(new winston.transports.Console({ stderrLevels: [...LEVELS] }))
  return log
}
