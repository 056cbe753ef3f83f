/** Verifies one record of this machine, and the store it lies in; used by `verify`, `demo` and the installer. */
import { dirname } from 'node:path'
import { readAnchors } from '../daemon/chain-writer/anchors.ts'
import { checkLedger } from '../daemon/ledger/fsck.ts'
import { buildReceipt } from '../daemon/receipt/build.ts'
import type { Finding } from '../daemon/receipt/findings.ts'
import { type AskChain, verifyReceipt } from '../daemon/receipt/verify.ts'
import { openBodies } from '../daemon/recorder/body-reader.ts'
import { checkRecorder } from '../daemon/recorder/fsck.ts'
import type { LogRecord } from '../daemon/recorder/record.ts'
import { said } from './error-text.ts'
import { type Evidence, findRecord, sourcesOf } from './evidence.ts'
import { storedParts } from './parts.ts'

/** The record's leaf, proof, checkpoint, anchors and stored bodies. */
export async function verifyRecord(evidence: Evidence, id: string, askChain?: AskChain): Promise<Finding[]> {
  const row = findRecord(evidence, id)
  const receipt = buildReceipt(BigInt(row.leaf), sourcesOf(evidence))
  const verification = await verifyReceipt(receipt, {
    expectedKey: evidence.verifierKey,
    ...(askChain === undefined ? {} : { askChain }),
  })
  const findings = [...verification.findings]
  if (receipt.record !== Buffer.from(row.bytes).toString('utf8')) {
    findings.push({
      check: 'index',
      result: 'failed',
      detail: 'index.sqlite holds other bytes than the ledger for it',
    })
  }
  if (verification.record !== undefined) findings.push(...(await bodyFindings(evidence, verification.record)))
  return findings
}

async function bodyFindings(evidence: Evidence, record: LogRecord): Promise<Finding[]> {
  const parts = storedParts(record)
  if (parts.length === 0) return []
  const bodies = openBodies(evidence.paths.recorderState, await evidence.bodyKey())
  try {
    return parts.map(({ name, part }): Finding => {
      const check = `body ${name}`
      try {
        const { bytes } = bodies.read(part.digest)
        return { check, result: 'proved', detail: `${bytes.length} bytes match their salted digest` }
      } catch (error) {
        return { check, result: 'failed', detail: said(error) }
      }
    })
  } finally {
    bodies.close()
  }
}

/** Every byte that is kept: tiles, entry bundles, WAL, journal, packs, index. One finding for each damaged file. */
export async function verifyStore(evidence: Evidence): Promise<Finding[]> {
  const { paths } = evidence
  const found: Finding[] = []
  const damaged = (directory: string, file: string, what: string, offset?: number) => {
    const place = offset === undefined ? '' : ` at byte ${offset}`
    found.push({ check: 'store', result: 'failed', detail: `${directory}/${file}${place}: ${what}` })
  }
  for await (const { file, offset, what } of checkLedger(paths.ledger, evidence.verifierKey)) {
    damaged(paths.ledger, file, what, offset)
  }
  for await (const { file, offset, what } of checkRecorder(dirname(paths.ledger), await evidence.bodyKey())) {
    damaged(paths.recorderState, file, what, offset)
  }
  try {
    readAnchors(paths.chainState)
  } catch (error) {
    found.push({ check: 'store', result: 'failed', detail: said(error) })
  }
  if (found.length > 0) return found
  const size = evidence.ledger.checkpoint()?.size ?? 0n
  return [
    {
      check: 'store',
      result: 'proved',
      detail: `every byte of ${size} leaves, their bodies and the journal`,
    },
  ]
}
