/** Who else saw the checkpoint: which keys are witnesses is for the verifier to say, never for the receipt. */
import { said } from '../base/errors.ts'
import { verifyCosignatures } from '../ledger/cosignature.ts'
import { parseNote } from '../ledger/note.ts'
import type { Finding } from './findings.ts'

export interface Witnesses {
  /** Verifier keys (type 0x04) of the witnesses that the verifier trusts. */
  readonly keys: readonly string[]
  /** How many of them must have signed. Default: all. */
  readonly quorum?: number
}

/** Nothing where neither the verifier names a witness nor the checkpoint. */
export function witnessFindings(note: string, origin: string, witnesses?: Witnesses): Finding[] {
  const check = 'witnesses'
  if (witnesses === undefined || witnesses.keys.length === 0) {
    const others = parseNote(note).signatures.filter(({ name }) => name !== origin)
    if (others.length === 0) return []
    const names = [...new Set(others.map(({ name }) => name))].join(', ')
    const detail = `the checkpoint has ${others.length} more signature(s), by the names of ${names}: no key of a witness was given`
    return [{ check, result: 'not-checked', detail }]
  }
  const { keys, quorum = keys.length } = witnesses
  try {
    const signed = verifyCosignatures(note, keys)
    const who = signed.map(({ name, time }) => `${name} at ${timeOf(time)}`).join(', ')
    const of = `${signed.length} of the ${keys.length} witnesses that you trust`
    const enough = signed.length >= quorum
    const need = enough ? '' : `; you want ${quorum}`
    const detail = `cosigned by ${of}${who === '' ? '' : ` (${who})`}${need}`
    return [{ check, result: enough ? 'proved' : 'failed', detail }]
  } catch (error) {
    return [{ check, result: 'failed', detail: said(error) }]
  }
}

/** Past the year 9999 no date can be written. */
function timeOf(seconds: bigint): string {
  if (seconds > 253_402_300_799n) return `${seconds} s after 1970`
  return new Date(Number(seconds) * 1000).toISOString().replace('.000', '')
}
