/** The installer's proof: the canary's record, verified, as `verify` prints it; then `status`. */
import { readAnchors } from '../daemon/chain-writer/anchors.ts'
import { isYoung } from '../daemon/chain-writer/checkpoint.ts'
import type { Config } from '../daemon/config/config.ts'
import { type Finding, holds } from '../daemon/receipt/findings.ts'
import { findingsText } from '../daemon/receipt/findings-text.ts'
import { layout } from '../daemon/supervisor/layout.ts'
import { askConfiguredChains } from './ask-chain.ts'
import { print } from './command.ts'
import { type Evidence, openEvidence } from './evidence.ts'
import { readLiveState } from './live-state.ts'
import { statusText } from './status/text.ts'
import { verifyRecord } from './verification.ts'

/** A checkpoint is signed within a second; a young log is anchored soon, an older one when it is due. */
const WAIT_MS = 20_000

/** Prints both. @returns true where the record was found and verified. */
export async function printCanaryReceipt(
  config: Config,
  since: number,
  configFile?: string,
): Promise<boolean> {
  const end = Date.now() + WAIT_MS
  const { chains } = readAnchors(layout(config).chainState)
  const young = chains.every(({ former, anchors }) => former || isYoung(BigInt(anchors.at(-1)?.size ?? 0)))
  let findings: Finding[] = []
  while (Date.now() < end) {
    const evidence = await openEvidence(
      configFile === undefined ? { json: false } : { json: false, config: configFile },
      'verify',
    )
    findings = await verifyNewest(evidence, config, since)
    evidence.index.close()
    const anchored = findings.some(({ check, result }) => check.startsWith('anchor ') && result === 'proved')
    if (anchored || (findings.length > 0 && !young)) break
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
  print(findings.length === 0 ? 'NO RECORD of the call was found' : findingsText(findings))
  print(`\n${statusText(await readLiveState(config), new Date())}`)
  return holds(findings)
}

async function verifyNewest(evidence: Evidence, config: Config, since: number): Promise<Finding[]> {
  const [row] = evidence.index.list({ limit: 1, provider: 'canary' })
  if (row === undefined || Date.parse(row.time) < since) return []
  const checkpoint = evidence.ledger.checkpoint()
  if (checkpoint === undefined || checkpoint.size <= BigInt(row.leaf)) return []
  return verifyRecord(evidence, row.id, askConfiguredChains(config))
}
