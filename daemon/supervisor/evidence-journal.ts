/**
 * Evidence that isn't in the log yet, in a file: a SIGKILL between an act and its record loses neither. What is still
 * counted, and spans that are still open, stand in it as drafts: what would be told if this were the end.
 *
 * A JSON line a change, appended before anything else is done with it. It isn't synced, for it need only outlive this
 * process: a power loss shows as the gap since the last sign of life all the same.
 *
 * Threat model: only root reads and writes it, and its bytes may be anything after a power loss: what doesn't parse is
 * counted and told.
 */
import { randomUUIDv7 } from 'node:crypto'
import { closeSync, constants, ftruncateSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { z } from 'zod'
import { messageOf } from '../base/errors.ts'
import { type Evidence, FromSupervisor } from '../recorder/messages.ts'
import type { Log } from './log.ts'

/** With the id that it will have, and keeps however often it is sent. */
export type IdentifiedEvidence = Evidence & { readonly id: string }

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

const Line = z.union([
  z.strictObject({ told: FromSupervisor }),
  z.strictObject({ draft: FromSupervisor, open: z.boolean() }),
  z.strictObject({ recorded: z.array(z.string()) }),
])
type Line = z.input<typeof Line>
interface Held {
  readonly evidence: IdentifiedEvidence
  readonly open: boolean
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
  const { path, log, rewriteAt = REWRITE_AT } = options
  const held = new Map<string, Held>()
  const unreadable = readInto(held, path)
  for (const [id, { evidence, open }] of held) {
    if (open && evidence.type === 'gap')
      held.set(id, { evidence: endedAt(evidence, options.endedAt ?? evidence.from), open: false })
  }
  if (unreadable > 0) {
    const id = randomUUIDv7()
    const [from, to] = [options.endedAt ?? Date.now(), Date.now()]
    const evidence = { type: 'gap', id, cause: 'evidence-unreadable', from, to } as const
    held.set(id, { evidence: { ...evidence, detail: { lines: unreadable } }, open: false })
  }
  const left = [...held.values()].map(({ evidence }) => evidence)

  let fd: number | undefined
  let size = 0
  let limit = rewriteAt
  let failing = false
  let closed = false
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
  const rewrite = () => {
    const text = [...held.values()].map(({ evidence, open }) =>
      format(open ? { draft: evidence, open } : { told: evidence }),
    )
    const bytes = Buffer.from(text.join(''))
    const next = openSync(`${path}.new`, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0o600)
    try {
      writeSync(next, bytes)
      renameSync(`${path}.new`, path)
    } catch (error) {
      closeSync(next)
      throw error
    }
    if (fd !== undefined) closeSync(fd)
    fd = next
    size = bytes.length
    limit = Math.max(rewriteAt, 2 * size)
  }
  const append = (line: Line) =>
    attempt(() => {
      if (fd === undefined || failing || size > limit) return rewrite()
      size += writeSync(fd, format(line))
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
        size = 0
      })
    },
    close() {
      closed = true
      if (fd !== undefined) closeSync(fd)
    },
  }
}

const format = (line: Line) => `${JSON.stringify(line)}\n`

/** Fills in what is held, and says how many lines could not be read. */
function readInto(held: Map<string, Held>, path: string): number {
  let unreadable = 0
  for (const text of contentOf(path).split('\n')) {
    if (text === '') continue
    const line = parse(text)
    if (line === undefined) {
      unreadable += 1
    } else if ('recorded' in line) {
      for (const id of line.recorded) held.delete(id)
    } else {
      const evidence = 'told' in line ? line.told : line.draft
      if (isEvidence(evidence)) held.set(evidence.id, { evidence, open: 'open' in line && line.open })
      else unreadable += 1
    }
  }
  return unreadable
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function parse(text: string): z.output<typeof Line> | undefined {
  try {
    return Line.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

function isEvidence(message: FromSupervisor): message is IdentifiedEvidence {
  return ['audit', 'gap', 'refusal', 'leak'].includes(message.type) && 'id' in message && !!message.id
}

function endedAt<Gap extends { readonly from: number }>(gap: Gap, time: number): Gap {
  return { ...gap, to: Math.max(gap.from, time) }
}
