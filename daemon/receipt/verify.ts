/**
 * Verifies a receipt with nothing but the receipt, what the verifier trusts, and, if they want, a chain.
 *
 * Threat model: the receipt comes from whoever wants to be believed. What isn't checked is said to be unchecked,
 * never passed over; a key, witness or label out of the receipt proves nothing by itself.
 */
import { toHex, utf8 } from '#platform'
import { said } from '../base/errors.ts'
import { type SignedCheckpoint, verifyCheckpoint } from '../ledger/checkpoint.ts'
import { parseVerifierKey } from '../ledger/note.ts'
import type { LogRecord } from '../recorder/record.ts'
import { type AskChain, anchorFinding } from './anchor-finding.ts'
import type { Finding } from './findings.ts'
import { type HeldProof, readProof } from './held-proof.ts'
import { bodyFindings, readRecord, recordFinding } from './held-record.ts'
import { keyByHistory } from './key-line.ts'
import type { Receipt } from './receipt.ts'
import { type Witnesses, witnessFindings } from './witness-finding.ts'

export interface VerifyOptions {
  /** The log's verifier key, got from somewhere else than the receipt. */
  readonly expectedKey?: string
  readonly witnesses?: Witnesses
  /** Absent: offline; anchors are then `not-checked`. */
  readonly askChain?: AskChain
}

export interface Verification {
  readonly findings: Finding[]
  /** In the receipt's order; undefined where the leaf is no record of a known schema. */
  readonly records: readonly (LogRecord | undefined)[]
  /** Where they stand in the log; absent where that was not proved. */
  readonly indexes?: readonly bigint[]
}

export async function verifyReceipt(receipt: Receipt, options: VerifyOptions = {}): Promise<Verification> {
  const records = receipt.records.map(({ record }) => readRecord(record))
  const log = inLog(receipt, options)
  const { checkpoint, indexes } = log
  const several = records.length > 1
  const findings = [
    ...records.map((record, i) =>
      recordFinding(several ? `record ${i + 1}` : 'record', receipt.records[i]!.record, record),
    ),
    ...log.findings,
  ]
  if (checkpoint === undefined || indexes === undefined) return { findings, records }
  for (const [i, held] of receipt.records.entries())
    findings.push(...bodyFindings(held, records[i], several ? ` of record ${i + 1}` : ''))
  for (const anchor of receipt.anchors)
    findings.push(await anchorFinding(anchor, checkpoint, options.askChain))
  if (receipt.anchors.length === 0) {
    const detail = 'the receipt names no anchor: made before one'
    findings.push({ check: 'anchor', result: 'not-checked', detail })
  }
  return { findings, records, indexes }
}

interface InLog {
  readonly findings: Finding[]
  readonly checkpoint?: SignedCheckpoint
  readonly indexes?: readonly bigint[]
}

/** Key, signature, witnesses and inclusion; each only where the one before it holds. */
function inLog(receipt: Receipt, { expectedKey, witnesses }: VerifyOptions): InLog {
  let proof: HeldProof
  try {
    proof = readProof(receipt.proof)
  } catch (error) {
    return { findings: [{ check: 'inclusion', result: 'failed', detail: said(error) }] }
  }
  const key = keyOf(receipt, proof.checkpoint, expectedKey?.trim())
  const findings: Finding[] = key.finding === undefined ? [] : [key.finding]
  const unproved = (detail: string): InLog => ({
    findings: [...findings, { check: 'inclusion', result: 'not-checked', detail }],
  })
  let checkpoint: SignedCheckpoint
  try {
    if (key.verifierKey === undefined) return unproved("no key is known to be the log's")
    checkpoint = verifyCheckpoint(proof.checkpoint.note, key.verifierKey)
    findings.push({ check: 'signature', result: 'proved', detail: key.signedBy })
  } catch (error) {
    findings.push({ check: 'signature', result: 'failed', detail: said(error) })
    return unproved('the checkpoint is not signed by the log')
  }
  findings.push(...witnessFindings(receipt, checkpoint, key.verifierKey, witnesses))
  const { indexes } = proof
  try {
    if (indexes.length !== receipt.records.length) {
      const detail = `${receipt.records.length} record(s), and a proof of ${indexes.length}`
      return { findings: [...findings, { check: 'inclusion', result: 'failed', detail }] }
    }
    proof.verify(
      receipt.records.map(({ record }) => utf8(record)),
      checkpoint,
    )
  } catch (error) {
    return { findings: [...findings, { check: 'inclusion', result: 'failed', detail: said(error) }] }
  }
  const leaves = `${indexes.length > 1 ? 'leaves' : 'leaf'} ${indexes.join(', ')}`
  const detail = `${leaves} of ${checkpoint.origin}, under its checkpoint of ${checkpoint.size} leaves`
  return { findings: [...findings, { check: 'inclusion', result: 'proved', detail }], checkpoint, indexes }
}

interface SigningKey {
  /** The key that must have signed the checkpoint; undefined where none is known. */
  readonly verifierKey?: string
  readonly signedBy: string
  readonly finding?: Finding
}

function keyOf(receipt: Receipt, own: SignedCheckpoint, expected: string | undefined): SigningKey {
  const named = receipt.verifierKey.trim()
  const trusted = expected ?? named
  let verifierKey = trusted
  try {
    if (receipt.keyHistory !== undefined) verifierKey = keyByHistory(receipt.keyHistory, own, trusted)
    if (verifierKey !== named) {
      const whose = verifierKey === expected ? 'you expect' : "the log's own records lead to"
      const detail = `the receipt names the key ${short(named)}, ${whose} ${short(verifierKey)}`
      return { signedBy: '', finding: { check: 'key', result: 'failed', detail } }
    }
    const signedBy = `by the key ${short(verifierKey)}`
    if (expected === undefined) {
      const detail = `only the receipt itself names it: compare ${verifierKey} with the log's published key, or give that`
      return { verifierKey, signedBy, finding: { check: 'key', result: 'not-checked', detail } }
    }
    if (verifierKey === expected) return { verifierKey, signedBy: `${signedBy}, which you expect` }
    const detail = `${short(verifierKey)} spoke for trees of ${own.size} leaves: the log's own records of its keys lead from it to ${short(expected)}, which you expect`
    return { verifierKey, signedBy, finding: { check: 'key', result: 'proved', detail } }
  } catch (error) {
    return { signedBy: '', finding: { check: 'key', result: 'failed', detail: said(error) } }
  }
}

/** @throws LedgerError MALFORMED_KEY */
function short(verifierKey: string): string {
  const { name, id } = parseVerifierKey(verifierKey)
  return `${name}+${toHex(id)}`
}
