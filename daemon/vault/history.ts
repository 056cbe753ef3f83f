/**
 * `history.json`: the successions of this gateway's keys as they go into the log, and which are under way. Nothing in
 * it is secret; what counts is what the log holds. It is written whole and durably: each write is a step of a rotation.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { writeFileAtomic } from '../base/durable/files.ts'
import { messageOf } from '../base/errors.ts'
import { KEY_NAMES } from './key-kinds.ts'
import { VaultError } from './vault-error.ts'

const Change = z.strictObject({
  /** Of its record. */
  id: z.uuid(),
  /** RFC 3339. */
  time: z.iso.datetime(),
  key: z.enum(KEY_NAMES),
  from: z.string().max(1000).exactOptional(),
  to: z.string().max(1000),
  note: z.string().max(4000),
  /** Its record isn't known to be in the log yet, and the key that ends is still there. */
  pending: z.literal(true).exactOptional(),
})
export type Change = z.infer<typeof Change>

const History = z.strictObject({ v: z.literal(1), changes: z.array(Change).max(10_000).readonly() })

export const historyFile = (dir: string): string => join(dir, 'history.json')

/** In their order; empty where there is no file. @throws VaultError `rotation-damaged` */
export async function readHistory(dir: string): Promise<readonly Change[]> {
  const file = historyFile(dir)
  try {
    const bytes = await readFile(file)
    const { changes } = History.parse(JSON.parse(bytes.toString('utf8')))
    if (!encode(changes).equals(bytes)) throw new Error('it is not in the form in which it was written')
    return changes
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw new VaultError(
      'rotation-damaged',
      `${file} can't be read: ${messageOf(error).slice(0, 200)}`,
      'Restore it from a backup. Its records are in the log too: agent-anchor records --kind audit.',
    )
  }
}

export function writeHistory(dir: string, changes: readonly Change[]): Promise<void> {
  return writeFileAtomic(historyFile(dir), encode(changes), { mode: 0o600 })
}

/** One content has one form, so that a change anywhere is noticed. */
function encode(changes: readonly Change[]): Buffer {
  const ordered = changes.map(({ id, time, key, from, to, note, pending }) => ({
    id,
    time,
    key,
    from,
    to,
    note,
    pending,
  }))
  return Buffer.from(`${JSON.stringify({ v: 1, changes: ordered }, undefined, 2)}\n`)
}

/** What the record of a change says, see docs/formats.md. */
export const changeDetail = ({ key, from, to, note }: Change): Record<string, string> => ({
  key,
  ...(from === undefined ? {} : { from }),
  to,
  note,
})
