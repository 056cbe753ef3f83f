/**
 * What a witness cosigned last of each log: one file a log, the signed checkpoint itself. A file that can't be read is
 * never taken for "nothing yet": a witness that forgets would cosign a second history.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FileSystem } from '../base/durable/file-system.ts'
import { writeFileAtomic } from '../base/durable/files.ts'
import { messageOf } from '../base/errors.ts'
import { parseSignedCheckpoint, type SignedCheckpoint } from '../ledger/checkpoint.ts'
import type { Damage } from '../ledger/damage.ts'
import { decodeUtf8 } from '../ledger/encoding.ts'
import { LedgerError } from '../ledger/errors.ts'
import { readIfPresent } from '../ledger/files.ts'
import { verifyNote } from '../ledger/note.ts'

export class CosignedState {
  readonly #dir: string
  readonly #fs: FileSystem | undefined

  constructor(dir: string, fs?: FileSystem) {
    this.#dir = dir
    this.#fs = fs
  }

  /** What is wrong with the files that are there. @param keysOf of the logs that are known now */
  *check(keysOf: (origin: string) => readonly string[] | undefined): Generator<Damage> {
    for (const file of readdirSync(this.#dir)) {
      // What a crash cut off before its rename.
      if (file.endsWith('.next')) continue
      try {
        const { origin } = parseSignedCheckpoint(decodeUtf8(readFileSync(join(this.#dir, file))))
        if (this.#path(origin) !== join(this.#dir, file)) throw new Error(`it is about ${origin}`)
        const keys = keysOf(origin)
        if (keys !== undefined) this.read(origin, keys)
      } catch (error) {
        yield { file, what: messageOf(error) }
      }
    }
  }

  /** @throws LedgerError where the file is not what was written, or its log's keys are others now */
  read(origin: string, keys: readonly string[]): SignedCheckpoint | undefined {
    const path = this.#path(origin)
    const bytes = readIfPresent(path)
    if (bytes === undefined) return undefined
    try {
      const note = decodeUtf8(bytes)
      verifyNote(note, keys)
      const checkpoint = parseSignedCheckpoint(note)
      if (checkpoint.origin === origin) return checkpoint
    } catch (cause) {
      throw damaged(path, cause)
    }
    throw damaged(path)
  }

  /** Durable when it resolves. @throws DurableError */
  write(checkpoint: SignedCheckpoint): Promise<void> {
    const path = this.#path(checkpoint.origin)
    return writeFileAtomic(path, Buffer.from(checkpoint.note), {
      temporary: `${path}.next`,
      ...(this.#fs === undefined ? {} : { fs: this.#fs }),
    })
  }

  /** An origin may hold any character: so its hash names the file. */
  #path(origin: string): string {
    return join(this.#dir, createHash('sha256').update(origin).digest('hex'))
  }
}

function damaged(path: string, cause?: unknown): LedgerError {
  return new LedgerError(
    'CHECKPOINT_DAMAGED',
    `${path} is not a checkpoint that was cosigned`,
    'Restore it from a copy, or put back the key with which that log signed; nothing of the log is cosigned until then.',
    cause,
  )
}
