/** Damage of the evidence journal: how it is found, told, and kept for people to look at. */
import { randomUUIDv7 } from 'node:crypto'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { messageOf } from '../base/errors.ts'
import { type Fault, type IdentifiedEvidence, type Reading, readEvidence } from './evidence-lines.ts'

export interface FoundEvidence extends Reading {
  readonly bytes: Buffer
}

/**
 * What lies there, whatever its state.
 * @param written whether there must be a file
 */
export function findEvidence(path: string, written: boolean): FoundEvidence {
  try {
    const bytes = readFileSync(path)
    return { bytes, ...readEvidence(bytes) }
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    const absent = ['ENOENT', 'ENOTDIR'].includes(code)
    const what = absent ? 'it is missing' : messageOf(error)
    const faults = absent && !written ? [] : [{ offset: 0, what }]
    return { bytes: Buffer.alloc(0), held: new Map(), faults, torn: false }
  }
}

/**
 * The first damage, beside a running gateway or without one; undefined for a file that is whole. One that is emptied and
 * begun anew while it is read looks damaged, so it is looked at again.
 */
export function evidenceFault(path: string, written: boolean): Fault | undefined {
  const look = () => findEvidence(path, written).faults[0]
  return look() && look()
}

const setAsideFile = (path: string): string => `${path}.damaged`

/** Keeps the bytes of a damaged file beside it, behind those of earlier ones. @returns where */
export function setAside(path: string, bytes: Buffer): string {
  appendFileSync(setAsideFile(path), bytes, { mode: 0o600 })
  return setAsideFile(path)
}

/** Where damaged evidence was set aside and nobody has taken it away since. */
export const evidenceSetAside = (path: string): string | undefined =>
  existsSync(setAsideFile(path)) ? setAsideFile(path) : undefined

/** What the log is to hear of it; undefined where every line could be read. */
export function unreadableGap(
  { faults, torn }: Reading,
  endedAt: number | undefined,
): (IdentifiedEvidence & { readonly type: 'gap' }) | undefined {
  const wrong = faults.map(({ what }) => what)
  if (torn) wrong.push('the last line was cut short')
  if (wrong.length === 0) return undefined
  const to = Date.now()
  const from = Math.min(endedAt ?? to, to)
  const detail = { lines: wrong.length, what: [...new Set(wrong)].join('; ') }
  return { type: 'gap', id: randomUUIDv7(), cause: 'evidence-unreadable', from, to, detail }
}
