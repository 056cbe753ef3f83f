/**
 * Log of operation (not the log of records): winston, rotated by size. Lines carry no content of exchanges.
 */
import { join } from 'node:path'
import winston from 'winston'

export type Log = winston.Logger

/** @param directory where `agent-anchor.log` is kept: 5 files of 10 MB; stderr gets the same lines. */
export function openLog(directory: string): Log {
  const line = winston.format.printf(({ timestamp, level, message, child }) => {
    const source = typeof child === 'string' ? child : 'supervisor'
    // Children's lines may quote hostile input: one line each, printable only.
    const text = String(message).replace(/[^\x20-\x7e\u00a0-\uffff]/g, ' ')
    return `${timestamp} ${level} ${source}: ${text}`
  })
  return winston.createLogger({
    level: 'info',
    format: winston.format.combine(winston.format.timestamp(), line),
    transports: [
      new winston.transports.Console({ stderrLevels: ['error', 'warn', 'info'] }),
      new winston.transports.File({
        filename: join(directory, 'agent-anchor.log'),
        maxsize: 10_000_000,
        maxFiles: 5,
        tailable: true,
      }),
    ],
  })
}
