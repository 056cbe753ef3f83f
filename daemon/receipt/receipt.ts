/**
 * A receipt: one file that proves one record to somebody who has nothing of ours. It holds the record's exact
 * bytes, a c2sp.org/tlog-proof (inclusion proof and signed checkpoint) and where that checkpoint's root was
 * anchored. Format: docs/formats.md.
 */
import { z } from 'zod'
import { ReceiptError } from './receipt-error.ts'

/** A receipt is a few KiB; anything larger is not one. */
const MAX_BYTES = 1 << 20

const Hex32 = z.string().regex(/^[0-9a-f]{64}$/)
const Address = z.string().regex(/^0x[0-9a-fA-F]{40}$/)
const Hash = z.string().regex(/^0x[0-9a-fA-F]{64}$/)

const ReceiptAnchor = z.strictObject({
  /** The chain's name in the gateway's configuration. */
  chain: z.string().max(64),
  chainId: z.int().positive(),
  /** What an anchor on this chain is worth, where that needs saying. */
  label: z.string().max(200).optional(),
  contract: Address,
  logKey: Hash,
  /** Size and root of the checkpoint in `proof`, as anchored. */
  size: z.string().regex(/^[0-9]{1,20}$/),
  root: Hex32,
  transaction: Hash,
  block: z.int().nonnegative(),
  blockHash: Hash,
})
export type ReceiptAnchor = z.infer<typeof ReceiptAnchor>

const Receipt = z.strictObject({
  type: z.literal('agent-anchor-receipt'),
  schemaVersion: z.literal(1),
  /** The leaf, verbatim: never canonicalised again. */
  record: z.string().max(65_535),
  proof: z.string().max(65_535),
  /** C2SP verifier key of the log. Who verifies compares it with the key they expect. */
  verifierKey: z.string().max(1000),
  anchors: z.array(ReceiptAnchor).max(64),
})
export type Receipt = z.infer<typeof Receipt>

/** @throws ReceiptError RECEIPT_MALFORMED: not JSON, not a receipt, or of a later version. */
export function parseReceipt(bytes: Uint8Array): Receipt {
  const malformed = (why: string, cause?: unknown) =>
    new ReceiptError(
      'RECEIPT_MALFORMED',
      `this is not a receipt: ${why}`,
      'Give a file that `agent-anchor export ID -o FILE` wrote, unchanged.',
      cause,
    )
  if (bytes.length > MAX_BYTES) throw malformed(`${bytes.length} bytes are too many`)
  let document: unknown
  try {
    document = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw malformed('not JSON in UTF-8', error)
  }
  const parsed = Receipt.safeParse(document)
  if (!parsed.success)
    throw malformed(z.prettifyError(parsed.error).split('\n')[0] ?? 'malformed', parsed.error)
  return parsed.data
}

export const formatReceipt = (receipt: Receipt): string => `${JSON.stringify(receipt, null, 2)}\n`
