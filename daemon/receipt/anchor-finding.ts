/** Where the checkpoint is anchored: what the receipt says, and what a chain says where one is asked. */
import { toHex } from '#platform'
import { said } from '../base/errors.ts'
import type { SignedCheckpoint } from '../ledger/checkpoint.ts'
import type { Finding } from './findings.ts'
import type { ReceiptAnchor } from './receipt.ts'

/** What a chain holds for an anchor. */
export interface HeldAnchor {
  readonly size: bigint
  readonly root: string
  /** Where its event stands now. */
  readonly block: number
  /** How final its block is; absent where the endpoint could not say. */
  readonly finality?: ReceiptAnchor['finality']
  /** Host of the endpoint that said so. */
  readonly saidBy?: string
}

/** Asks a chain; undefined where it holds no anchor of that size. */
export type AskChain = (anchor: ReceiptAnchor) => Promise<HeldAnchor | undefined>

export async function anchorFinding(
  anchor: ReceiptAnchor,
  checkpoint: SignedCheckpoint,
  askChain: AskChain | undefined,
): Promise<Finding> {
  const check = `anchor ${anchor.chain}`
  if (BigInt(anchor.size) !== checkpoint.size || anchor.root !== toHex(checkpoint.root)) {
    return { check, result: 'failed', detail: "the anchor is of another checkpoint than the receipt's" }
  }
  const label = anchor.label === undefined ? '' : ` (labelled "${anchor.label}")`
  const placeIn = (block: number) =>
    `chain ${anchor.chainId}, block ${block}, transaction ${anchor.transaction}${label}`
  const place = placeIn(anchor.block)
  if (askChain === undefined) {
    const { finality, saidBy } = anchor
    const by = saidBy === undefined ? '' : ` by the word of ${saidBy}`
    const then = finality === undefined ? '' : `; ${finality} when the receipt was made${by}`
    return { check, result: 'not-checked', detail: `no chain was asked; said to be on ${place}${then}` }
  }
  try {
    const held = await askChain(anchor)
    if (held === undefined) {
      const detail = `the chain holds no anchor of this log for that size on ${place}`
      return { check, result: 'failed', detail }
    }
    if (held.size !== checkpoint.size || held.root !== anchor.root) {
      const detail = `the chain holds root ${held.root} for size ${held.size}: another log`
      return { check, result: 'failed', detail }
    }
    const by = held.saidBy === undefined ? '' : `, says ${held.saidBy}`
    const finality = `finality: ${held.finality ?? 'not told'}${by}`
    const detail = `root ${anchor.root.slice(0, 16)}… stands on ${placeIn(held.block)}; ${finality}`
    return { check, result: 'proved', detail }
  } catch (error) {
    return { check, result: 'not-checked', detail: `the chain could not be asked: ${said(error)}` }
  }
}
