/**
 * Text files that a person wrote, read with a bound.
 *
 * Threat model: the path may lead to anything. A FIFO must not block the start, a device or a huge file must
 * not fill memory, and bytes that are no UTF-8 must not turn into something that looks like a setting.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { messageOf } from '../daemon/base/errors.ts'
import { PolicyError } from './policy-error.ts'

/** The shipped catalogue, the largest of these files, has some 15 KiB. */
export const MAX_FILE_BYTES = 256 * 1024

/**
 * The text of `file`, a leading byte order mark removed; undefined if there is no such file.
 * @throws PolicyError FILE_UNREADABLE, FILE_TOO_LARGE, NOT_UTF8
 */
export function readText(file: string): string | undefined {
  let descriptor: number
  try {
    // O_NONBLOCK: opening a FIFO without a writer would wait for ever.
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw unreadable(file, messageOf(error), error)
  }
  try {
    if (!fstatSync(descriptor).isFile()) throw unreadable(file, 'it is not a regular file')
    return decode(file, readBounded(file, descriptor))
  } catch (error) {
    throw error instanceof PolicyError ? error : unreadable(file, messageOf(error), error)
  } finally {
    closeSync(descriptor)
  }
}

function readBounded(file: string, descriptor: number): Buffer {
  const bytes = Buffer.alloc(MAX_FILE_BYTES + 1)
  let length = 0
  while (length < bytes.length) {
    const read = readSync(descriptor, bytes, length, bytes.length - length, null)
    if (read === 0) return bytes.subarray(0, length)
    length += read
  }
  throw tooLarge(file)
}

function decode(file: string, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new PolicyError('NOT_UTF8', `${file} is not UTF-8 text`, `Save ${file} as UTF-8.`, [], error)
  }
}

export const tooLarge = (file: string): PolicyError =>
  new PolicyError(
    'FILE_TOO_LARGE',
    `${file} is larger than ${MAX_FILE_BYTES / 1024} KiB`,
    `Look at what ${file} is: no policy, catalogue or configuration needs that much.`,
  )

const unreadable = (file: string, why: string, cause?: unknown): PolicyError =>
  new PolicyError(
    'FILE_UNREADABLE',
    `${file} can't be read: ${why}`,
    `Make ${file} a regular file that root can read.`,
    [],
    cause,
  )
