/**
 * systemd's journal in its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): a line with its priority and its
 * process as fields, so that `journalctl --unit agent-anchor --priority warning AGENT_ANCHOR_PROCESS=recorder` works.
 */
import { fstatSync } from 'node:fs'
import { Writable } from 'node:stream'
import { type Level, type LogLine, singleLine } from './log-line.ts'
import { sendDatagram } from './unix-datagram.ts'

const SOCKET = '/run/systemd/journal/socket'
const STDERR = 2

/** syslog(3): LOG_ERR, LOG_WARNING, LOG_INFO. */
const PRIORITY: Readonly<Record<Level, number>> = { error: 3, warn: 4, info: 6 }
/** syslog(3): LOG_DAEMON. */
const FACILITY = 3

/** Whether stderr goes to the journal, which then gets the lines with their fields instead. systemd.exec(5). */
export function stderrIsJournal(stream: string | undefined = process.env.JOURNAL_STREAM): boolean {
  const [, device, inode] = /^(\d+):(\d+)$/.exec(stream ?? '') ?? []
  if (device === undefined) return false
  const { dev, ino } = fstatSync(STDERR, { bigint: true })
  return String(dev) === device && String(ino) === inode
}

const words = ({ process, message }: LogLine): string => `${process}: ${singleLine(message)}`

/** No value holds a line feed, so every field has the simple form. */
export const journalEntry = (line: LogLine): Buffer =>
  Buffer.from(
    [
      `MESSAGE=${words(line)}`,
      `PRIORITY=${PRIORITY[line.level]}`,
      `SYSLOG_FACILITY=${FACILITY}`,
      'SYSLOG_IDENTIFIER=agent-anchor',
      `AGENT_ANCHOR_PROCESS=${line.process}`,
      '',
    ].join('\n'),
  )

/**
 * Takes what a logger gives, each with its `line`.
 * @param socket the journal's, or a test's
 */
export const journalStream = (socket = SOCKET): Writable =>
  new Writable({
    objectMode: true,
    write({ line }: { readonly line: LogLine }, _, done) {
      // While the journal is started anew systemd holds stderr's other end: that line comes without its fields.
      if (!sendDatagram(socket, journalEntry(line)))
        process.stderr.write(`<${PRIORITY[line.level]}>${words(line)}\n`)
      done()
    },
  })
