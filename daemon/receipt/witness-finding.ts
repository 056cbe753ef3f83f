/** Who else saw the checkpoint: which keys are witnesses is for the verifier to say, never for the receipt. */
import { said } from '../base/errors.ts'
import { type SignedCheckpoint, verifyCheckpoint } from '../ledger/checkpoint.ts'
import { verifyCosignatures } from '../ledger/cosignature.ts'
import { decodeHash } from '../ledger/encoding.ts'
import { verifyConsistency } from '../ledger/merkle.ts'
import { parseNote } from '../ledger/note.ts'
import type { Finding } from './findings.ts'
import type { Receipt, Witnessed } from './receipt.ts'

export interface Witnesses {
  /** Verifier keys (type 0x04) of the witnesses that the verifier trusts. */
  readonly keys: readonly string[]
  /** How many of them must have signed. Default: all. */
  readonly quorum?: number
}

/**
 * Nothing where neither the verifier names a witness nor the receipt.
 * @param own the receipt's checkpoint, signed by `verifierKey`
 */
export function witnessFindings(
  { witnessed }: Pick<Receipt, 'witnessed'>,
  own: SignedCheckpoint,
  verifierKey: string,
  witnesses?: Witnesses,
): Finding[] {
  const check = 'witnesses'
  try {
    const seen = witnessed === undefined ? own : extending(own, witnessed, verifierKey)
    if (witnesses === undefined || witnesses.keys.length === 0) return unnamed(check, seen)
    const { keys, quorum = keys.length } = witnesses
    const signed = verifyCosignatures(seen.note, keys)
    const who = signed.map(({ name, time }) => `${name} at ${timeOf(time)}`).join(', ')
    const of = `cosigned by ${signed.length} of the ${keys.length} witnesses that you trust`
    const enough = signed.length >= quorum
    const need = enough ? '' : `; you want ${quorum}`
    const later = seen.size === own.size ? '' : `, in a tree of ${seen.size} leaves that extends this one`
    const detail = `${of}${who === '' ? '' : ` (${who})`}${later}${need}`
    return [{ check, result: enough ? 'proved' : 'failed', detail }]
  } catch (error) {
    return [{ check, result: 'failed', detail: said(error) }]
  }
}

/** @throws LedgerError where it is no later checkpoint of the same log */
function extending(
  own: SignedCheckpoint,
  { checkpoint, consistency }: Witnessed,
  key: string,
): SignedCheckpoint {
  const later = verifyCheckpoint(checkpoint, key)
  verifyConsistency({
    oldSize: own.size,
    oldRoot: own.root,
    newSize: later.size,
    newRoot: later.root,
    proof: consistency.map(decodeHash),
  })
  return later
}

function unnamed(check: string, { note, origin }: SignedCheckpoint): Finding[] {
  const others = parseNote(note).signatures.filter(({ name }) => name !== origin)
  if (others.length === 0) return []
  const names = [...new Set(others.map(({ name }) => name))].join(', ')
  const detail = `the checkpoint has ${others.length} more signature(s), by the names of ${names}: no key of a witness was given`
  return [{ check, result: 'not-checked', detail }]
}

/** Past the year 9999 no date can be written. */
function timeOf(seconds: bigint): string {
  if (seconds > 253_402_300_799n) return `${seconds} s after 1970`
  return new Date(Number(seconds) * 1000).toISOString().replace('.000', '')
}
