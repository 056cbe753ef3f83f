/** Whole lines of a file that grows. */
import type { FileHandle } from 'node:fs/promises'

const CHUNK = 64 * 1024
/** A line that doesn't end would be kept for ever. */
const MOST_BYTES = 1024 * 1024

/** @returns what gives the whole lines that came since it was asked last; what has no end yet waits for it */
export function tail(file: Pick<FileHandle, 'read'>, from: number): () => Promise<string[]> {
  let position = from
  let rest = Buffer.alloc(0)
  return async () => {
    const lines: string[] = []
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(CHUNK), 0, CHUNK, position)
      if (bytesRead === 0) return lines
      position += bytesRead
      rest = Buffer.concat([rest, buffer.subarray(0, bytesRead)])
      for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
        lines.push(rest.toString('utf8', 0, end))
        rest = rest.subarray(end + 1)
      }
      if (rest.length > MOST_BYTES) rest = Buffer.alloc(0)
    }
  }
}
