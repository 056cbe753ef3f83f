/**
 * Cosignatures, c2sp.org/tlog-cosignature v1.0.1, type 0x04: a witness's word that, at a time, this was the largest
 * checkpoint of the log that it had seen, and consistent with those before. Pure.
 *
 * Threat model: cosignatures come from servers that may lie. One of an unknown key is ignored, one of a known key
 * that doesn't verify refuses the note, and a key counts once.
 */
import { type Bytes, concat, type PrivateKey, utf8, verifyEd25519 } from '#platform'
import { type SignedCheckpoint, verifyCheckpoint } from './checkpoint.ts'
import { MAX_SIZE } from './encoding.ts'
import { LedgerError } from './errors.ts'
import {
  COSIGNATURE,
  ed25519Signer,
  formatSignature,
  type NoteVerifier,
  parseNote,
  parseVerifierKey,
  SIGNATURE_SIZE,
  verifySignatures,
} from './note.ts'

const TIME_SIZE = 8

export interface Cosignature {
  /** Name of the witness's key. */
  readonly name: string
  /** Seconds since the epoch. */
  readonly time: bigint
}

export interface Cosigner {
  /** `name+id+key`, to be published. */
  readonly verifierKey: string
  /** A signature line over a checkpoint's text. @param time seconds since the epoch */
  cosign(text: string, time: bigint): string
}

/** @param key Ed25519 private key or its 32-byte seed; it must sign nothing else (the message names no cosigner). */
export function cosigner(name: string, key: PrivateKey): Cosigner {
  const signer = ed25519Signer(name, key, COSIGNATURE)
  const verifierKey = parseVerifierKey(signer.verifierKey, COSIGNATURE)
  return {
    verifierKey: signer.verifierKey,
    cosign(text, time) {
      const timestamp = new Uint8Array(TIME_SIZE)
      new DataView(timestamp.buffer).setBigUint64(0, time)
      return formatSignature(verifierKey, concat([timestamp, signer.sign(message(text, time))]))
    },
  }
}

/**
 * Reads a checkpoint that the log signed, and which of these witnesses cosigned it.
 * @param cosigners verifier keys of type 0x04
 * @throws LedgerError as {@link verifyCheckpoint} does, also for a bad signature of a known witness.
 */
export function verifyCosigned(
  note: string,
  verifierKey: string,
  cosigners: readonly string[],
): { checkpoint: SignedCheckpoint; cosignatures: Cosignature[] } {
  return {
    checkpoint: verifyCheckpoint(note, verifierKey),
    cosignatures: verifyCosignatures(note, cosigners),
  }
}

/**
 * Those of the cosigners who signed, which may be none.
 * @throws LedgerError MALFORMED_NOTE, MALFORMED_KEY, BAD_SIGNATURE (of a known witness)
 */
export function verifyCosignatures(note: string, cosigners: readonly string[]): Cosignature[] {
  try {
    const { signatures } = verifySignatures(note, cosigners.map(cosignatureVerifier))
    return signatures.map(({ name, signature }) => ({ name, time: timeOf(signature) }))
  } catch (error) {
    if (error instanceof LedgerError && error.code === 'UNKNOWN_KEY') return []
    throw error
  }
}

/** The signature lines of a note, as they stand. @throws LedgerError MALFORMED_NOTE */
export function signatureLines(note: string): string[] {
  return parseNote(note).signatures.map(({ name, id, signature }) => formatSignature({ name, id }, signature))
}

/** @throws LedgerError MALFORMED_KEY */
function cosignatureVerifier(verifierKey: string): NoteVerifier {
  const { name, id, publicKey } = parseVerifierKey(verifierKey, COSIGNATURE)
  return {
    name,
    id,
    verify(text, signature) {
      if (signature.length !== TIME_SIZE + SIGNATURE_SIZE) return false
      const time = timeOf(signature)
      // The specification's own bound.
      if (time > MAX_SIZE) return false
      return verifyEd25519(publicKey, concat([utf8(opening(time)), text]), signature.subarray(TIME_SIZE))
    },
  }
}

function timeOf(signature: Uint8Array): bigint {
  return new DataView(signature.buffer, signature.byteOffset).getBigUint64(0)
}

const opening = (time: bigint) => `cosignature/v1\ntime ${time}\n`
const message = (text: string, time: bigint): Bytes => utf8(`${opening(time)}${text}`)
