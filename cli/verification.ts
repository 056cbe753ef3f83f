/** Verifies one record of this machine, and the store it lies in; used by `verify`, `demo` and the installer. */
import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { AnchorError, said } from '../daemon/base/errors.ts'
import { anchorsFile } from '../daemon/chain-writer/anchors.ts'
import { checkAuthorizations, checkChainState } from '../daemon/chain-writer/fsck.ts'
import type { Damage } from '../daemon/ledger/damage.ts'
import { checkLedger } from '../daemon/ledger/fsck.ts'
import { checkMemory } from '../daemon/ledger/memory.ts'
import type { AskChain } from '../daemon/receipt/anchor-finding.ts'
import { buildReceipt } from '../daemon/receipt/build.ts'
import type { Finding } from '../daemon/receipt/findings.ts'
import { verifyReceipt } from '../daemon/receipt/verify.ts'
import { openBodies } from '../daemon/recorder/body-reader.ts'
import { checkRecorder } from '../daemon/recorder/fsck.ts'
import type { Row } from '../daemon/recorder/index/row.ts'
import type { LogRecord } from '../daemon/recorder/record.ts'
import { storedParts } from '../daemon/recorder/record-parts.ts'
import { checkState } from '../daemon/supervisor/check-state.ts'
import { openBodyKey } from '../daemon/vault/keys.ts'
import { checkWitnesses } from './check-witnesses.ts'
import { type Evidence, findRecord, sourcesOf } from './evidence.ts'
import { goneText } from './gone-text.ts'
import { keyFindings } from './key-findings.ts'
import type { Progress } from './progress.ts'

/** About the question and not about what is stored: for who asks. */
const QUESTIONABLE = new Set(['NO_SUCH_RECORD', 'AMBIGUOUS', 'NOT_IN_A_CHECKPOINT'])

/**
 * The record's leaf, proof, checkpoint, anchors and stored bodies. What is too damaged to be proved is a finding.
 * @throws ReceiptError NO_SUCH_RECORD, NOT_IN_A_CHECKPOINT; RecorderError AMBIGUOUS
 */
export async function verifyRecord(evidence: Evidence, id: string, askChain?: AskChain): Promise<Finding[]> {
  try {
    return await recordFindings(evidence, id, askChain)
  } catch (error) {
    if (!(error instanceof AnchorError) || QUESTIONABLE.has(error.code)) throw error
    return [{ check: 'record', result: 'failed', detail: said(error) }]
  }
}

async function recordFindings(evidence: Evidence, id: string, askChain?: AskChain): Promise<Finding[]> {
  const row = findRecord(evidence, id)
  const receipt = buildReceipt([BigInt(row.leaf)], sourcesOf(evidence))
  const verification = await verifyReceipt(receipt, {
    expectedKey: evidence.verifierKey,
    ...(askChain === undefined ? {} : { askChain }),
  })
  // What is stored is looked at below: the receipt made here brings no bodies.
  const findings = verification.findings.filter(({ check }) => check !== 'bodies')
  const [record] = verification.records
  if (receipt.records[0]?.record !== Buffer.from(row.bytes).toString('utf8')) {
    findings.push({
      check: 'index',
      result: 'failed',
      detail: 'index.sqlite holds other bytes than the ledger for it',
    })
  }
  if (record !== undefined) findings.push(...(await bodyFindings(evidence, row, record)))
  return findings
}

async function bodyFindings(evidence: Evidence, row: Row, record: LogRecord): Promise<Finding[]> {
  const parts = storedParts(record)
  if (parts.length === 0) return []
  const erased = evidence.index.gone(row)
  if (erased !== undefined) {
    const left = parts.some(({ part }) => evidence.index.holds(part.digest))
    const state = left
      ? 'its removal is not finished, see agent-anchor status'
      : 'the digests in the record stand'
    const detail = `${goneText(erased)}: ${state}`
    return [{ check: 'body', result: 'not-checked', detail }]
  }
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

/**
 * Every byte that is kept: tiles, entry bundles, WAL, journal, packs, index, anchors, authorisations, keys, CA, fence,
 * evidence on its way into the log. One finding for each damaged file; what can't be looked at at all is a finding too, and keeps nobody from the rest.
 */
export async function verifyStore(evidence: Evidence, progress?: Progress): Promise<Finding[]> {
  const { paths } = evidence
  const findings: Finding[] = []
  const failed = (detail: string) => findings.push({ check: 'store', result: 'failed', detail })
  const look = async (directory: string, damages: AsyncIterable<Damage> | Iterable<Damage>) => {
    try {
      for await (const { file, offset, what } of damages) {
        const place = offset === undefined ? '' : ` at byte ${offset}`
        failed(`${directory}/${file}${place}: ${what}`)
      }
    } catch (error) {
      failed(`${directory}: ${said(error)}`)
    }
  }
  const vault = await evidence.vault().catch((error: unknown) => {
    failed(said(error))
    return undefined
  })
  await look(dirname(paths.keysDirectory), checkState(paths, vault))
  const read = { progress: (done: bigint, of: bigint) => progress?.at(done, of) }
  await look(paths.ledger, checkLedger(paths.ledger, evidence.verifierKey, read))
  await look(dirname(paths.witnessState), checkWitnesses(evidence, vault))
  await look(paths.recorderState, checkMemory(paths.lastCheckpoint, paths.ledger, evidence.verifierKey))
  progress?.part('bodies, journal and index')
  // Why it can't be opened is among the findings above.
  const bodyKey = vault && (await openBodyKey(vault, paths.keysDirectory).catch(() => undefined))
  if (bodyKey !== undefined) await look(paths.recorderState, checkRecorder(paths.recorderState, bodyKey))
  else {
    const detail = `journal, packs and index in ${paths.recorderState}: they open with the body key only`
    findings.push({ check: 'store', result: 'not-checked', detail })
  }
  const keys = await keyFindings(evidence)
  findings.push(...keys.filter(({ result }) => result === 'failed'))
  await look(paths.chainState, checkChainState(paths.chainState))
  await look(paths.authorizations, checkAuthorizations(paths.authorizations))
  if (!existsSync(anchorsFile(paths.chainState))) {
    const detail = `${anchorsFile(paths.chainState)} is not there: nothing was anchored yet, or it was removed`
    findings.push({ check: 'anchors', result: 'not-checked', detail })
  }
  if (findings.some(({ result }) => result === 'failed')) return findings
  const size = evidence.ledger.checkpoint()?.size ?? 0n
  const detail = `every byte of ${size} leaves, their bodies and the journal`
  return [{ check: 'store', result: 'proved', detail }, ...keys, ...findings]
}
