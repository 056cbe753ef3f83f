/** Asks at the terminal without showing what is typed. */
import { type ReadStream, WriteStream } from 'node:tty'

const ENTER = new Set([0x0a, 0x0d, 0x04])
const INTERRUPT = 0x03
const ERASE = new Set([0x7f, 0x08])
const MAX_BYTES = 1024

/** @returns undefined where there is no terminal, or it was interrupted */
export async function promptSecret(question: string): Promise<Buffer | undefined> {
  const { stdin, stderr } = process
  if (!stdin.isTTY || !(stderr instanceof WriteStream)) return undefined
  stderr.write(question)
  stdin.setRawMode(true)
  try {
    return await readLine(stdin)
  } finally {
    stdin.setRawMode(false)
    stdin.pause()
    stderr.write('\n')
  }
}

/** Bytes up to the end of the line: never a string, which could not be wiped. */
function readLine(terminal: ReadStream): Promise<Buffer | undefined> {
  const typed = Buffer.allocUnsafeSlow(MAX_BYTES)
  let length = 0
  return new Promise((resolve) => {
    const end = (line: Buffer | undefined) => {
      terminal.off('data', take)
      terminal.off('end', end)
      const secret = line && Buffer.allocUnsafeSlow(line.length)
      if (secret) line.copy(secret)
      typed.fill(0)
      resolve(secret)
    }
    const take = (chunk: Buffer) => {
      for (const byte of chunk) {
        if (ENTER.has(byte)) return end(typed.subarray(0, length))
        if (byte === INTERRUPT) return end(undefined)
        if (ERASE.has(byte)) length = Math.max(0, length - 1)
        else if (length < MAX_BYTES) typed[length++] = byte
      }
      chunk.fill(0)
    }
    terminal.on('data', take)
    terminal.once('end', () => end(undefined))
    terminal.resume()
  })
}
