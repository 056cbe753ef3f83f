/**
 * `keys/ca-history.json`: the steps of the CA's rotations, in their order. The last one says where a rotation stands; each
 * step is taken by writing this file whole and durably. Nothing in it is secret.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { writeFileAtomic } from '../../base/durable/files.ts'
import { messageOf } from '../../base/errors.ts'
import { SupervisorError } from '../supervisor-error.ts'

/**
 * - `introduced`: the successor is made and is being put beside the current CA, which signs
 * - `distributed`: it is in every trust store; who starts from now on trusts both
 * - `signing`: the successor signs; the former CA is still trusted
 * - `finished`: the former CA's key is destroyed
 * - `aborted`: the successor's key is destroyed, and the CA is the one that was
 */
export const STEPS = ['introduced', 'distributed', 'signing', 'finished', 'aborted'] as const
export type Step = (typeof STEPS)[number]

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/)

const Taken = z.strictObject({
  /** Of its record. */
  id: z.uuid(),
  /** RFC 3339. */
  time: z.iso.datetime(),
  step: z.enum(STEPS),
  /** SHA-256 of the certificate (DER) that is, or was, to go. */
  from: Sha256,
  /** SHA-256 of the successor's. */
  to: Sha256,
  /** What both keys signed. */
  note: z.string().max(2000),
  /** Its record isn't known to be in the log yet. */
  pending: z.literal(true).exactOptional(),
})
export type Taken = z.infer<typeof Taken>

const History = z.strictObject({ v: z.literal(1), steps: z.array(Taken).max(10_000).readonly() })

const historyFile = (dir: string): string => join(dir, 'ca-history.json')

/** Empty where there is no file. @throws SupervisorError CA_HISTORY_DAMAGED */
export async function readSteps(dir: string): Promise<readonly Taken[]> {
  const file = historyFile(dir)
  try {
    const bytes = await readFile(file)
    const { steps } = History.parse(JSON.parse(bytes.toString('utf8')))
    if (!encode(steps).equals(bytes)) throw new Error('it is not in the form in which it was written')
    return steps
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw historyDamaged(`${file} can't be read: ${messageOf(error).slice(0, 200)}`)
  }
}

export function writeSteps(dir: string, steps: readonly Taken[]): Promise<void> {
  return writeFileAtomic(historyFile(dir), encode(steps), { mode: 0o600 })
}

/** One content has one form, so that a change anywhere is noticed. */
function encode(steps: readonly Taken[]): Buffer {
  const ordered = steps.map(({ id, time, step, from, to, note, pending }) => ({
    id,
    time,
    step,
    from,
    to,
    note,
    pending,
  }))
  return Buffer.from(`${JSON.stringify({ v: 1, steps: ordered }, undefined, 2)}\n`)
}

export const historyDamaged = (what: string): SupervisorError =>
  new SupervisorError(
    'CA_HISTORY_DAMAGED',
    what,
    'Restore it from a backup. Its steps are in the log too: agent-anchor records --kind audit.',
  )
