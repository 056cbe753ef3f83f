/**
 * Whether this machine's log extends what the chains hold of it. A log that was put back from an older copy
 * verifies by itself; only what is out of its reach shows it.
 */
import { said } from '../daemon/base/errors.ts'
import { readAnchors } from '../daemon/chain-writer/anchors.ts'
import { verifyConsistency } from '../daemon/ledger/merkle.ts'
import type { Finding } from '../daemon/receipt/findings.ts'
import type { AskHead } from './ask-chain.ts'
import type { Evidence } from './evidence.ts'

export async function headFindings(evidence: Evidence, askHead: AskHead): Promise<Finding[]> {
  let chains: ReturnType<typeof readAnchors>['chains']
  try {
    chains = readAnchors(evidence.paths.chainState).chains
  } catch (error) {
    return [{ check: 'heads', result: 'failed', detail: said(error) }]
  }
  return Promise.all(
    chains.map(async (chain): Promise<Finding> => {
      const check = `head ${chain.name}${chain.former ? ` (former contract ${chain.contract})` : ''}`
      const label = chain.label === undefined ? '' : ` (${chain.label})`
      let head: Awaited<ReturnType<AskHead>>
      try {
        head = await askHead(chain.name, chain)
      } catch (error) {
        return { check, result: 'not-checked', detail: `the chain could not be asked: ${said(error)}` }
      }
      // Read after the chain was: the log may grow and be anchored meanwhile.
      const checkpoint = evidence.ledger.checkpoint()
      if (checkpoint === undefined) return { check, result: 'failed', detail: 'this log has no checkpoint' }
      if (head.size === 0n)
        return { check, result: 'not-checked', detail: 'the chain holds nothing of this log' }
      if (head.size > checkpoint.size) {
        const detail = `the chain holds ${head.size} leaves, this log only ${checkpoint.size}: it is an older copy`
        return { check, result: 'failed', detail }
      }
      try {
        verifyConsistency({
          oldSize: head.size,
          newSize: checkpoint.size,
          oldRoot: Buffer.from(head.root, 'hex'),
          newRoot: checkpoint.root,
          proof: evidence.ledger.consistencyProof(head.size, checkpoint.size),
        })
        const detail = `this log's ${checkpoint.size} leaves extend the ${head.size} on the chain${label}`
        return { check, result: 'proved', detail }
      } catch (error) {
        return { check, result: 'failed', detail: `this log is not the one on the chain: ${said(error)}` }
      }
    }),
  )
}
