/**
 * Signed notes, c2sp.org/signed-note v1.0.0, with Ed25519 keys: of signatures over the text (type 0x01), and for
 * cosignature.ts (0x04).
 *
 * Threat model: notes come from servers and files that may lie. What is not exactly a note is refused; lines of
 * unknown keys are ignored; a line of a known key with a wrong signature refuses the whole note, and a note
 * without any known signature says nothing.
 */
import {
  type Bytes,
  concat,
  equal,
  openSigningKey,
  type PrivateKey,
  sha256,
  toBase64,
  toHex,
  utf8,
  verifyEd25519,
} from '#platform'
import { decodeBase64 } from './encoding.ts'
import { LedgerError } from './errors.ts'

/** Signature types whose key is an Ed25519 key. */
export const ED25519 = 0x01
export const COSIGNATURE = 0x04
type KeyType = typeof ED25519 | typeof COSIGNATURE

export const SIGNATURE_SIZE = 64

/** Bounds on hostile notes: the size golang.org/x/mod/sumdb/note takes, and its number of signatures. */
const MAX_NOTE = 1_000_000
const MAX_SIGNATURES = 100

export interface VerifierKey {
  readonly name: string
  /** SHA-256(name ‖ LF ‖ type ‖ key), first four bytes. */
  readonly id: Bytes
  /** Raw Ed25519 key, 32 bytes. */
  readonly publicKey: Bytes
}

/** `name+hex8(id)+base64(type ‖ key)`. */
export function formatVerifierKey(name: string, publicKey: Uint8Array, type: KeyType = ED25519): string {
  if (!isKeyName(name)) throw badKey('a key name needs characters, and neither spaces nor +')
  if (publicKey.length !== 32) throw badKey(`an Ed25519 key of ${publicKey.length} bytes`)
  const typed = concat([Uint8Array.of(type), publicKey])
  return `${name}+${toHex(keyId(name, typed))}+${toBase64(typed)}`
}

/** @throws LedgerError MALFORMED_KEY, also for a key of another type. */
export function parseVerifierKey(text: string, type: KeyType = ED25519): VerifierKey {
  const match = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text)
  if (match === null) throw badKey('not a verifier key')
  const [, name, id, encoded] = match
  if (!isKeyName(name!)) throw badKey('a key name with spaces or control characters')
  let typed: Bytes
  try {
    typed = decodeBase64(encoded!)
  } catch (cause) {
    throw badKey('a verifier key that is not canonical base64', cause)
  }
  if (typed[0] !== type || typed.length !== 33) {
    throw badKey(`a verifier key that is not an Ed25519 key of type 0x0${type}`)
  }
  const own = keyId(name!, typed)
  if (toHex(own) !== id) throw badKey('a verifier key whose id is of another key')
  return { name: name!, id: own, publicKey: typed.subarray(1) }
}

export interface NoteSignature {
  readonly name: string
  readonly id: Bytes
  readonly signature: Bytes
}

export interface Note {
  /** What is signed, its final newline included. */
  readonly text: string
  readonly signatures: readonly NoteSignature[]
}

/** Takes a note apart without verifying it. @throws LedgerError MALFORMED_NOTE */
export function parseNote(note: string): Note {
  if (note.length > MAX_NOTE) throw badNote('longer than 1 MB')
  if (!note.isWellFormed()) throw badNote('it is not Unicode')
  if (/[\x00-\x09\x0b-\x1f]/.test(note)) throw badNote('it has control characters')
  const split = note.lastIndexOf('\n\n')
  if (split < 0) throw badNote('it has no blank line before the signatures')
  const lines = note.slice(split + 2)
  if (!lines.endsWith('\n')) throw badNote('it has no signature, or no newline at its end')
  const signatures = lines.slice(0, -1).split('\n').map(parseSignature)
  if (signatures.length > MAX_SIGNATURES) throw badNote(`it has more than ${MAX_SIGNATURES} signatures`)
  return { text: note.slice(0, split + 1), signatures }
}

/** What is signed of a note. @throws LedgerError MALFORMED_NOTE */
export function noteText(note: string): string {
  return parseNote(note).text
}

function parseSignature(line: string): NoteSignature {
  const match = /^\u2014 ([^ ]+) ([A-Za-z0-9+/=]+)$/.exec(line)
  if (match === null || !isKeyName(match[1]!)) throw badNote('one of its signature lines is malformed')
  let bytes: Bytes
  try {
    bytes = decodeBase64(match[2]!)
  } catch (cause) {
    throw badNote('one of its signatures is not canonical base64', cause)
  }
  if (bytes.length < 5) throw badNote('one of its signatures is too short')
  return { name: match[1]!, id: bytes.subarray(0, 4), signature: bytes.subarray(4) }
}

/** One key as a note is verified against it. */
export interface NoteVerifier {
  readonly name: string
  readonly id: Bytes
  verify(text: Bytes, signature: Bytes): boolean
}

/**
 * Verifies a note against verifier keys of logs.
 * @returns the text, and the signatures that verified: at least one, and one a key.
 * @throws LedgerError MALFORMED_NOTE, BAD_SIGNATURE (of a known key), UNKNOWN_KEY (no known key signed),
 * MALFORMED_KEY.
 */
export function verifyNote(note: string, verifierKeys: readonly string[]): Note {
  return verifySignatures(note, verifierKeys.map(noteVerifier))
}

/** Of signatures over the text itself. @throws LedgerError MALFORMED_KEY */
function noteVerifier(verifierKey: string): NoteVerifier {
  const { name, id, publicKey } = parseVerifierKey(verifierKey)
  return {
    name,
    id,
    verify: (text, signature) =>
      signature.length === SIGNATURE_SIZE && verifyEd25519(publicKey, text, signature),
  }
}

/** As {@link verifyNote}, with keys of any type. */
export function verifySignatures(note: string, keys: readonly NoteVerifier[]): Note {
  const { text, signatures } = parseNote(note)
  const verified = new Map<NoteVerifier, NoteSignature>()
  for (const line of signatures) {
    const key = keys.find(({ name, id }) => name === line.name && equal(id, line.id))
    if (key === undefined) continue
    if (!key.verify(utf8(text), line.signature)) {
      throw new LedgerError(
        'BAD_SIGNATURE',
        `the signature of ${key.name} does not fit the note`,
        'Do not trust this document; it was altered after it was signed.',
      )
    }
    // Who counts signatures must not count one key twice.
    if (!verified.has(key)) verified.set(key, line)
  }
  if (verified.size === 0) {
    throw new LedgerError(
      'UNKNOWN_KEY',
      'none of the keys given signed the note',
      'Give the verifier key of the log that signed it.',
    )
  }
  return { text, signatures: [...verified.values()] }
}

/** A note's text (which ends with a newline) with one signature line under it. */
export function formatNote(
  text: string,
  key: Pick<VerifierKey, 'name' | 'id'>,
  signature: Uint8Array,
): string {
  return `${text}\n${formatSignature(key, signature)}`
}

/** A signature line, its newline included. */
export function formatSignature(
  { name, id }: Pick<VerifierKey, 'name' | 'id'>,
  signature: Uint8Array,
): string {
  return `\u2014 ${name} ${toBase64(concat([id, signature]))}\n`
}

export interface NoteSigner {
  /** `name+id+key`, to be published. */
  readonly verifierKey: string
  /** Signs a note's text: 64 bytes. */
  sign(text: Uint8Array): Bytes
}

/** A signer in this process, from an Ed25519 private key or its 32-byte seed. */
export function ed25519Signer(name: string, key: PrivateKey, type: KeyType = ED25519): NoteSigner {
  const opened = openSigningKey(key)
  if (opened === undefined) throw badKey('a log key that is not an Ed25519 key')
  return { verifierKey: formatVerifierKey(name, opened.publicKey, type), sign: opened.sign }
}

function keyId(name: string, typed: Uint8Array): Bytes {
  return sha256(concat([utf8(`${name}\n`), typed])).subarray(0, 4)
}

/** Non-empty, no Unicode spaces, no plus, no control characters. */
function isKeyName(name: string): boolean {
  return name !== '' && name.isWellFormed() && !/[+\p{White_Space}\x00-\x1f]/u.test(name)
}

function badKey(message: string, cause?: unknown): LedgerError {
  return new LedgerError(
    'MALFORMED_KEY',
    message,
    'Copy the verifier key again: name+id+key, on one line.',
    cause,
  )
}

function badNote(why: string, cause?: unknown): LedgerError {
  return new LedgerError(
    'MALFORMED_NOTE',
    `not a signed note: ${why}`,
    'Get the document again from where it came; it was altered or is of another format.',
    cause,
  )
}
