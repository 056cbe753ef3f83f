/**
 * Which key must have signed a receipt's checkpoint, from the key that the verifier trusts: the same, or one that the
 * log's own records of its keys lead to.
 *
 * Threat model: a key that was retired may be in anybody's hands, and with it a tree of as few leaves as it spoke
 * for. So its checkpoint must also be the beginning of a later one, which holds the records of all the keys and is
 * signed by the last of them.
 */

import { utf8 } from '#platform'
import { parseSignedCheckpoint, type SignedCheckpoint, verifyCheckpoint } from '../ledger/checkpoint.ts'
import { decodeDecimal, decodeHash } from '../ledger/encoding.ts'
import { LedgerError } from '../ledger/errors.ts'
import { keyFor, keyHistory } from '../ledger/key-history.ts'
import { leafHash, verifyConsistency, verifyInclusion } from '../ledger/merkle.ts'
import { readRecord } from './held-record.ts'
import type { KeyHistory } from './receipt.ts'

/**
 * @param own the receipt's checkpoint, not believed yet
 * @throws LedgerError KEY_HISTORY, and what the parts of the history throw
 */
export function keyByHistory(history: KeyHistory, own: SignedCheckpoint, trusted: string): string {
  const later = parseSignedCheckpoint(history.checkpoint)
  const places = history.successions.map(({ record, index, hashes }) => ({
    record,
    index: decodeDecimal(index),
    proof: hashes.map(decodeHash),
  }))
  const spans = keyHistory(
    places.map(({ index, record }) => ({ index, note: successionNote(record) })),
    trusted,
  )
  const keyOf = (size: bigint): string => {
    const span = keyFor(spans, size)
    if (span === undefined) throw broken('no key spoke for trees of its size')
    return span.verifierKey
  }
  const { size, root } = verifyCheckpoint(later.note, keyOf(later.size))
  for (const { record, index, proof } of places)
    verifyInclusion({ index, size, root, proof, leafHash: leafHash(utf8(record)) })
  verifyConsistency({
    oldSize: own.size,
    oldRoot: own.root,
    newSize: size,
    newRoot: root,
    proof: history.consistency.map(decodeHash),
  })
  return keyOf(own.size)
}

/** The note in a record of the log key. @throws LedgerError KEY_HISTORY */
export function successionNote(record: string): string {
  const document = readRecord(record)
  if (document?.kind === 'audit' && document.event === 'key-rotated' && document.detail.key === 'log') {
    const { note } = document.detail
    if (typeof note === 'string') return note
  }
  throw broken('it brings a record that is not one of the log key')
}

const broken = (why: string) =>
  new LedgerError(
    'KEY_HISTORY',
    `the receipt's history of the log's keys does not lead here: ${why}`,
    'Ask for the receipt again, made by the gateway of today.',
  )
