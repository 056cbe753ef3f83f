/**
 * The file that a process runs, and its SHA-256, read through /proc/PID/exe: the kernel's own link, which leads to the
 * file also where its path is gone or lies in another mount namespace.
 *
 * Threat model: the file belongs to whom we look at. It may be huge, change while it is read, or lie on a file system
 * whose server is the agent itself and never answers (FUSE): that is told without asking the file system, and not read.
 * What was hashed is remembered by what an unprivileged user can't set back (ctime).
 */
import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, readFileSync, readlinkSync, readSync } from 'node:fs'
import type { Pace } from './pace.ts'

/** What a process runs; `content` names what is in the file, for {@link Executables.sha256}. */
export interface Running {
  readonly executable?: string
  readonly content?: string
}

/** Generic ABI of Linux. */
const O_PATH = 0o10000000
const CHUNK = 1 << 20
/** Longer files aren't hashed: browsers and runtimes have 100 to 250 MB. */
const MAX_SIZE = 512n << 20n
const MAX_REMEMBERED = 1024
/** Files open until they are hashed; those of processes beyond aren't. */
const MAX_PENDING = 256

export class Executables {
  readonly #pace: Pace
  readonly #remembered = new Map<string, string>()
  /** By content. Once its file is open the process may go. */
  readonly #pending = new Map<string, number>()
  readonly #buffer = Buffer.allocUnsafe(CHUNK)

  constructor(pace: Pace) {
    this.#pace = pace
  }

  /** Nothing where the process runs no file (any more). What isn't known yet waits for {@link hash}. */
  of(pid: number): Running {
    try {
      const executable = readlinkSync(`/proc/${pid}/exe`)
      const content = this.#open(pid)
      // It may have run something else meanwhile: then the one isn't the other's.
      if (readlinkSync(`/proc/${pid}/exe`) !== executable) return {}
      return content === undefined ? { executable } : { executable, content }
    } catch {
      return {}
    }
  }

  /** Hashes what has been seen and isn't known. */
  async hash(): Promise<void> {
    for (const [content, file] of this.#pending) {
      try {
        const sha256 = await this.#read(file)
        if (identity(file) === content) this.#remember(content, sha256)
      } catch {
        // It can't be read: it stays without.
      }
      this.#pending.delete(content)
      closeSync(file)
    }
  }

  sha256(content: string): string | undefined {
    const sha256 = this.#remembered.get(content)
    if (sha256 !== undefined) this.#remember(content, sha256)
    return sha256
  }

  #open(pid: number): string | undefined {
    if (servedByUser(pid)) return undefined
    const file = openSync(`/proc/${pid}/exe`, 'r')
    const content = identity(file)
    const wanted = content !== undefined && !this.#remembered.has(content) && !this.#pending.has(content)
    if (wanted && this.#pending.size < MAX_PENDING) this.#pending.set(content, file)
    else closeSync(file)
    return content
  }

  async #read(file: number): Promise<string> {
    const hash = createHash('sha256')
    for (let at = 0; ; ) {
      const size = readSync(file, this.#buffer, 0, CHUNK, at)
      if (size === 0) return hash.digest('hex')
      hash.update(this.#buffer.subarray(0, size))
      at += size
      await this.#pace.rested()
    }
  }

  #remember(content: string, sha256: string): void {
    this.#remembered.delete(content)
    this.#remembered.set(content, sha256)
    if (this.#remembered.size > MAX_REMEMBERED) {
      this.#remembered.delete(this.#remembered.keys().next().value as string)
    }
  }
}

/** Which content it is; undefined where that can't be hashed. */
function identity(fd: number): string | undefined {
  const { dev, ino, size, mtimeNs, ctimeNs } = fstatSync(fd, { bigint: true })
  return size > MAX_SIZE ? undefined : [dev, ino, size, mtimeNs, ctimeNs].join(' ')
}

const MOUNT_ID = /^mnt_id:\s*(\d+)$/m

/** True where a process of some user's answers for the file system. No call here asks the file system itself. */
function servedByUser(pid: number): boolean {
  const fd = openSync(`/proc/${pid}/exe`, O_PATH)
  try {
    const id = MOUNT_ID.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1]
    for (const who of [pid, 'self']) {
      const type =
        id === undefined ? undefined : mountType(readFileSync(`/proc/${who}/mountinfo`, 'utf8'), id)
      if (type !== undefined) return type.startsWith('fuse')
    }
    // A file of the kernel's own (memfd), or of a mount that was taken away: both are read where they are no FUSE's.
    return !/^\/memfd:/.test(readlinkSync(`/proc/self/fd/${fd}`))
  } finally {
    closeSync(fd)
  }
}

/** Type of the mount with that id. @param text of /proc/PID/mountinfo */
export function mountType(text: string, id: string): string | undefined {
  const line = text.split('\n').find((one) => one.startsWith(`${id} `))
  return line === undefined ? undefined : / - (\S+) /.exec(line)?.[1]
}
