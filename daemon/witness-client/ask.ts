/**
 * Asks one witness to cosign a checkpoint. What it last cosigned is told by itself (409), so nothing needs to be kept.
 *
 * Threat model: the witness is somebody else's. A cosignature counts only if it verifies with the key configured and
 * its time is about now; whatever else it says changes no more than which proof it is sent next.
 */
import { messageOf } from '../base/errors.ts'
import type { SignedCheckpoint } from '../ledger/checkpoint.ts'
import { signatureLines, verifyCosignatures } from '../ledger/cosignature.ts'
import { decodeDecimal } from '../ledger/encoding.ts'
import { COSIGNATURE, parseVerifierKey } from '../ledger/note.ts'
import type { LedgerReader } from '../ledger/reader.ts'
import { formatAddCheckpoint } from '../witness/add-checkpoint.ts'
import type { Post } from './post.ts'

/** Clocks differ; a cosignature of another day is a replay. */
const CLOCK_MS = 5 * 60_000
/** Its size, and once more where another client was faster. */
const ATTEMPTS = 3

export type Outcome =
  | { readonly line: string }
  | {
      readonly error: string /** It holds another history of this log than we do. */
      readonly alarm: boolean
    }

export interface Witness {
  /** Of its key. */
  readonly name: string
  /** Never throws. */
  cosign(checkpoint: SignedCheckpoint): Promise<Outcome>
}

export function witnessAt(key: string, post: Post, reader: LedgerReader, now = Date.now): Witness {
  const { name, id } = parseVerifierKey(key, COSIGNATURE)
  const prefix = `\u2014 ${name} `
  /** What it cosigned last, as far as known. */
  let known = 0n

  const accepted = (note: string, body: string): Outcome => {
    const all = `${note}${body}`
    const [cosignature] = verifyCosignatures(all, [key])
    if (cosignature === undefined) return failed('it answered without a cosignature of its key')
    if (Math.abs(Number(cosignature.time) * 1000 - now()) > CLOCK_MS) {
      return failed(`its cosignature says ${cosignature.time} s: the clocks differ, or it is an old one`)
    }
    const line = signatureLines(all).find(
      (each) =>
        each.startsWith(prefix) && Buffer.from(each.slice(prefix.length), 'base64').subarray(0, 4).equals(id),
    )
    return { line: line! }
  }

  const attempt = async (checkpoint: SignedCheckpoint, left: number): Promise<Outcome> => {
    const { size, note } = checkpoint
    if (known > size) return alarm(`it says that it cosigned ${known} leaves of this log, which has ${size}`)
    const proof = reader.consistencyProof(known, size)
    const { status, body } = await post(formatAddCheckpoint({ oldSize: known, proof, note }))
    if (status === 200) {
      const outcome = accepted(note, body)
      if ('line' in outcome) known = size
      return outcome
    }
    if (status === 422) return alarm(`it refuses our proof from ${known} to ${size} leaves`)
    if (status !== 409) return failed(REASONS[status] ?? `it answered ${status}`)
    const told = sizeIn(body)
    if (told === undefined) return failed('it answered 409 without a size')
    if (told === known && known === size) return alarm(`it has cosigned another root for ${size} leaves`)
    const same = told === known
    known = told
    return same || left === 1 ? failed(`it answered 409 with ${told} leaves`) : attempt(checkpoint, left - 1)
  }

  return {
    name,
    async cosign(checkpoint) {
      const outcome = await attempt(checkpoint, ATTEMPTS).catch((error: unknown) => failed(messageOf(error)))
      // What it holds is not known any more: it tells with the next answer.
      if ('error' in outcome) known = 0n
      return outcome
    },
  }
}

const REASONS: Readonly<Record<number, string>> = {
  403: 'it knows this log by another key',
  404: 'it does not know this log',
}

const failed = (error: string): Outcome => ({ error, alarm: false })
const alarm = (error: string): Outcome => ({ error, alarm: true })

function sizeIn(body: string): bigint | undefined {
  try {
    return body.endsWith('\n') ? decodeDecimal(body.slice(0, -1)) : undefined
  } catch {
    return undefined
  }
}
