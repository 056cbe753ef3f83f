/** Makes the receipt that `export` writes: which records, and their bodies where those may be seen. */
import { MAX_BATCH } from '../daemon/ledger/batch-path.ts'
import { buildReceipt } from '../daemon/receipt/build.ts'
import { readRecord } from '../daemon/receipt/held-record.ts'
import { type Body, MAX_RECEIPT, type Receipt } from '../daemon/receipt/receipt.ts'
import { ReceiptError } from '../daemon/receipt/receipt-error.ts'
import { type Bodies, openBodies } from '../daemon/recorder/body-reader.ts'
import { storedParts } from '../daemon/recorder/record-parts.ts'
import { type Evidence, findRecord, sourcesOf } from './evidence.ts'
import type { Progress } from './progress.ts'

/**
 * The leaves that are named: by a record's id or the start of it, or by two with `..` between them for all from the
 * one to the other.
 * @throws ReceiptError NO_SUCH_RECORD, TOO_MANY_RECORDS; RecorderError AMBIGUOUS
 */
export function namedLeaves(evidence: Evidence, names: readonly string[]): bigint[] {
  const leaves = new Set<bigint>()
  for (const name of names) {
    const [first, last] = name.split('..').map((id) => BigInt(findRecord(evidence, id).leaf))
    const [from, to] = last === undefined || first! <= last ? [first!, last ?? first!] : [last, first!]
    if (to - from >= MAX_BATCH) throw tooMany(to - from + 1n)
    for (let leaf = from; leaf <= to; leaf++) leaves.add(leaf)
  }
  if (leaves.size > MAX_BATCH) throw tooMany(leaves.size)
  return [...leaves]
}

export const receiptOf = (evidence: Evidence, leaves: readonly bigint[]): Receipt =>
  buildReceipt(leaves, sourcesOf(evidence))

/** The receipt with the parts that are still stored, and their salts. @throws ReceiptError RECEIPT_TOO_LARGE */
export async function withBodies(evidence: Evidence, receipt: Receipt, progress: Progress): Promise<Receipt> {
  const bodies = openBodies(evidence.paths.recorderState, await evidence.bodyKey())
  try {
    let size = 0
    const records = receipt.records.map((held, i) => {
      progress.at(BigInt(i), BigInt(receipt.records.length))
      const parts = bodiesOf(evidence, held.record, bodies)
      for (const { bytes } of parts) size += bytes.length
      if (size > MAX_RECEIPT * SHARE) throw tooLarge()
      return parts.length === 0 ? held : { ...held, bodies: parts }
    })
    return { ...receipt, records }
  } finally {
    progress.clear()
    bodies.close()
  }
}

/** Of a receipt's bytes, what bodies may have: the rest is for records and proof. */
const SHARE = 0.75

function bodiesOf(evidence: Evidence, text: string, bodies: Bodies): Body[] {
  const record = readRecord(text)
  const stored = record === undefined ? [] : storedParts(record)
  if (record === undefined || stored.length === 0) return []
  if (evidence.index.gone(findRecord(evidence, record.id)) !== undefined) return []
  if (stored.some(({ part }) => part.size > MAX_RECEIPT)) throw tooLarge()
  return stored.map(({ name, part }) => {
    const { salt, bytes } = bodies.read(part.digest)
    return { part: name, salt: salt.toString('base64'), bytes: bytes.toString('base64') }
  })
}

const tooMany = (count: bigint | number) =>
  new ReceiptError(
    'TOO_MANY_RECORDS',
    `${count} records are too many for one receipt`,
    `Export ${MAX_BATCH} at a time.`,
  )

const tooLarge = () =>
  new ReceiptError(
    'RECEIPT_TOO_LARGE',
    `a receipt has ${MAX_RECEIPT >> 20} MiB at most, and these bodies are larger`,
    'Export fewer records in one file, or without --with-bodies.',
  )
