/**
 * Evidence that isn't in the log yet, in a file: a SIGKILL between an act and its record loses neither. What is still
 * counted, and spans that are still open, stand in it as drafts: what would be told if this were the end.
 *
 * A line a change, appended before anything else is done with it. It isn't synced, for it need only outlive this
 * process: a power loss shows as the gap since the last sign of life all the same.
 *
 * Threat model: only root reads and writes it, and its bytes may be anything after a power loss or on a bad disk: what
 * can't be read is told, as a gap, and kept beside the file.
 */
import { closeSync, constants, ftruncateSync, openSync, renameSync, writeSync } from 'node:fs'
import { messageOf } from '../base/errors.ts'
import { findEvidence, setAside, unreadableGap } from './evidence-damage.ts'
import { type Held, type IdentifiedEvidence, lineChain } from './evidence-lines.ts'
import type { Log } from './log.ts'

export interface EvidenceJournal {
  /** What an earlier process did not get into the log, oldest first; spans that were open end with that process. */
  readonly left: readonly IdentifiedEvidence[]
  /** To be told from here on, in the place of its draft if there was one. */
  keep(evidence: IdentifiedEvidence): void
  /** As it would be told now; again: in the place of the last. `open`: its end is when this process ends. */
  draft(evidence: IdentifiedEvidence, open?: boolean): void
  /** These are in the log, or nothing came of them. */
  recorded(ids: readonly string[]): void
  close(): void
}

const { O_APPEND, O_CREAT, O_TRUNC, O_WRONLY } = constants
/** Bytes from which the file is written anew, without what is over. */
const REWRITE_AT = 4 << 20

/** @param endedAt when the process that wrote it was last known to live, milliseconds since the epoch */
export function openEvidenceJournal(options: {
  readonly path: string
  readonly endedAt: number | undefined
  readonly log: Pick<Log, 'error'>
  readonly rewriteAt?: number
}): EvidenceJournal {
  const { path, endedAt, log, rewriteAt = REWRITE_AT } = options
  let fd: number | undefined
  let size = 0
  let limit = rewriteAt
  let failing = false
  let closed = false
  let chained = lineChain()
  /** A disk that takes nothing must not keep evidence from being told: it stays in memory all the same. */
  const attempt = (work: () => void) => {
    if (closed) return
    try {
      work()
      failing = false
    } catch (error) {
      if (!failing) log.error(`evidence can't be written to ${path}: ${messageOf(error)}`)
      failing = true
    }
  }

  // Who has given signs of life has made a file.
  const found = findEvidence(path, endedAt !== undefined)
  const { held, faults } = found
  for (const [id, { evidence, open }] of held) {
    if (open && evidence.type === 'gap') {
      const to = Math.max(evidence.from, endedAt ?? evidence.from)
      held.set(id, { evidence: { ...evidence, to }, open: false })
    }
  }
  const [fault] = faults
  if (fault !== undefined) {
    log.error(`${path} was damaged at byte ${fault.offset}: ${fault.what}`)
    attempt(() => setAside(path, found.bytes))
  }
  const gap = unreadableGap(found, endedAt)
  if (gap !== undefined) held.set(gap.id, { evidence: gap, open: false })
  const left = [...held.values()].map(({ evidence }) => evidence)

  const rewrite = () => {
    const format = lineChain()
    const bytes = Buffer.concat([...held.values()].map((each) => format(lineOf(each))))
    const next = openSync(`${path}.new`, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0o600)
    try {
      writeWhole(next, bytes)
      renameSync(`${path}.new`, path)
    } catch (error) {
      closeSync(next)
      throw error
    }
    if (fd !== undefined) closeSync(fd)
    fd = next
    chained = format
    size = bytes.length
    limit = Math.max(rewriteAt, 2 * size)
  }
  const append = (line: Parameters<typeof chained>[0]) =>
    attempt(() => {
      if (fd === undefined || failing || size > limit) return rewrite()
      const bytes = chained(line)
      writeWhole(fd, bytes)
      size += bytes.length
    })
  attempt(rewrite)

  return {
    left,
    keep(evidence) {
      held.set(evidence.id, { evidence, open: false })
      append({ told: evidence })
    },
    draft(evidence, open = false) {
      held.set(evidence.id, { evidence, open })
      append({ draft: evidence, open })
    },
    recorded(ids) {
      for (const id of ids) held.delete(id)
      if (held.size > 0) return append({ recorded: [...ids] })
      attempt(() => {
        if (fd === undefined) return
        ftruncateSync(fd, 0)
        chained = lineChain()
        size = 0
      })
    },
    close() {
      closed = true
      if (fd !== undefined) closeSync(fd)
    },
  }
}

const lineOf = ({ evidence, open }: Held) => (open ? { draft: evidence, open } : { told: evidence })

/** A write that the disk took in part would end in a torn line. */
function writeWhole(fd: number, bytes: Buffer): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done)
}
