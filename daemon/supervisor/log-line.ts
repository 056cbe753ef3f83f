/**
 * A line of the log of operation, from both sides: how the daemon writes it, and how `agent-anchor logs` reads it.
 *
 *     2026-11-26T09:14:02.114Z warn proxy-1: accept: too many open files
 *
 * Threat model: children's lines may quote hostile input. They are written as one line each, printable only; what is
 * read may have been written by anybody who could write the file.
 */
/** `agent-anchor.log` is the newest, `agent-anchor1.log` the one before it … */
export const LOG_NAME = 'agent-anchor'
export const LOG_FILES = 5

export const LEVELS = ['error', 'warn', 'info'] as const
export type Level = (typeof LEVELS)[number]

export interface LogLine {
  /** RFC 3339, UTC, with milliseconds. */
  readonly time: string
  readonly level: Level
  /** `supervisor`, or the child that said it. */
  readonly process: string
  readonly message: string
}

/** An exhausted disk or a stuck child must not make a line that nothing can show. */
const MOST_CHARACTERS = 8192

export const singleLine = (text: string): string =>
  text.slice(0, MOST_CHARACTERS).replace(/[^\x20-\x7e\u00a0-\uffff]/g, ' ')

export const formatLine = ({ time, level, process, message }: LogLine): string =>
  `${time} ${level} ${process}: ${singleLine(message)}`

const LINE = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (error|warn|info) ([a-z][a-z0-9-]{0,63}): (.*)$/

/** Undefined for what the daemon never wrote so. */
export function parseLine(text: string): LogLine | undefined {
  const [, time, level, process, message] = LINE.exec(text) ?? []
  if (time === undefined || process === undefined || message === undefined) return undefined
  return { time, level: level as Level, process, message }
}
