/**
 * Verifies a receipt with nothing but the receipt, the key that the verifier expects, and, if they want, a chain.
 *
 * Threat model: the receipt comes from whoever wants to be believed. What isn't checked is said to be unchecked,
 * never passed over; a key or label out of the receipt proves nothing by itself.
 */
import { createHash } from 'node:crypto'
import { AnchorError, messageOf } from '../base/errors.ts'
import type { SignedCheckpoint } from '../ledger/checkpoint.ts'
import { parseVerifierKey } from '../ledger/note.ts'
import { verifyTlogProof } from '../ledger/proof.ts'
import { LogRecord } from '../recorder/record.ts'
import type { Finding } from './findings.ts'
import type { Receipt, ReceiptAnchor } from './receipt.ts'

/** What a chain says about an anchor: the root it holds for that size, or undefined where it holds none. */
export type AskChain = (
  anchor: ReceiptAnchor,
) => Promise<{ readonly size: bigint; readonly root: string } | undefined>

export interface VerifyOptions {
  /** The log's verifier key, got from somewhere else than the receipt. */
  readonly expectedKey?: string
  /** Absent: offline; anchors are then `not-checked`. */
  readonly askChain?: AskChain
}

export interface Verification {
  readonly findings: Finding[]
  /** Absent where the leaf is no record of a known schema. */
  readonly record?: LogRecord
  readonly index?: bigint
}

export async function verifyReceipt(receipt: Receipt, options: VerifyOptions = {}): Promise<Verification> {
  const leaf = Buffer.from(receipt.record)
  const record = parseRecord(receipt.record)
  const findings: Finding[] = [recordFinding(leaf, record)]
  const key = options.expectedKey?.trim() ?? receipt.verifierKey.trim()
  if (options.expectedKey !== undefined && key !== receipt.verifierKey.trim()) {
    findings.push({
      check: 'key',
      result: 'failed',
      detail: `the receipt names the key ${receipt.verifierKey}, you expect ${key}`,
    })
  }
  let proved: { index: bigint; checkpoint: SignedCheckpoint }
  try {
    proved = verifyTlogProof(receipt.proof, leaf, key)
  } catch (error) {
    findings.push({ check: 'inclusion', result: 'failed', detail: said(error) })
    return record === undefined ? { findings } : { findings, record }
  }
  const { index, checkpoint } = proved
  findings.push({
    check: 'inclusion',
    result: 'proved',
    detail: `leaf ${index} of ${checkpoint.origin}, under its checkpoint of ${checkpoint.size} leaves`,
  })
  const { name, id } = parseVerifierKey(key)
  findings.push({
    check: 'signature',
    result: 'proved',
    detail:
      options.expectedKey === undefined
        ? `by the key that the receipt itself names (${name}+${hex(id)}): compare it with the log's published key`
        : `by the key you expect (${name}+${hex(id)})`,
  })
  for (const anchor of receipt.anchors)
    findings.push(await anchorFinding(anchor, checkpoint, options.askChain))
  if (receipt.anchors.length === 0) {
    findings.push({
      check: 'anchor',
      result: 'not-checked',
      detail: 'the receipt names no anchor: made before one',
    })
  }
  return record === undefined ? { findings, index } : { findings, record, index }
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const said = (error: unknown) =>
  error instanceof AnchorError ? `${error.message}. ${error.remedy}` : messageOf(error)

function parseRecord(text: string): LogRecord | undefined {
  try {
    const parsed = LogRecord.safeParse(JSON.parse(text))
    return parsed.success ? parsed.data : undefined
  } catch {
    return undefined
  }
}

function recordFinding(leaf: Buffer, record: LogRecord | undefined): Finding {
  const sha256 = createHash('sha256').update(leaf).digest('hex')
  if (record === undefined) {
    return {
      check: 'record',
      result: 'not-checked',
      detail: `${leaf.length} bytes, SHA-256 ${sha256}, of no schema that this version knows`,
    }
  }
  return {
    check: 'record',
    result: 'proved',
    detail: `${record.kind} ${record.id} of ${record.time}, schema v${record.v}`,
  }
}

async function anchorFinding(
  anchor: ReceiptAnchor,
  checkpoint: SignedCheckpoint,
  askChain: AskChain | undefined,
): Promise<Finding> {
  const check = `anchor ${anchor.chain}`
  const label = anchor.label === undefined ? '' : ` (${anchor.label})`
  if (BigInt(anchor.size) !== checkpoint.size || anchor.root !== checkpoint.root.toString('hex')) {
    return { check, result: 'failed', detail: "the anchor is of another checkpoint than the receipt's" }
  }
  const place = `chain ${anchor.chainId}, block ${anchor.block}, transaction ${anchor.transaction}${label}`
  if (askChain === undefined)
    return { check, result: 'not-checked', detail: `offline; said to be on ${place}` }
  try {
    const held = await askChain(anchor)
    if (held === undefined) {
      return {
        check,
        result: 'failed',
        detail: `the chain holds no anchor of this log for that size on ${place}`,
      }
    }
    if (held.size !== checkpoint.size || held.root !== anchor.root) {
      return {
        check,
        result: 'failed',
        detail: `the chain holds root ${held.root} for size ${held.size}: another log`,
      }
    }
    return { check, result: 'proved', detail: `root ${anchor.root.slice(0, 16)}… stands on ${place}` }
  } catch (error) {
    return { check, result: 'not-checked', detail: `the chain could not be asked: ${said(error)}` }
  }
}
