/**
 * A receipt: one file that proves records to somebody who has nothing of ours. It holds the records' exact bytes, a
 * proof with the signed checkpoint in it (one record: c2sp.org/tlog-proof; several: a batch proof), where that
 * checkpoint's root was anchored, and, where the holder may see them, bodies with their salts. Format:
 * docs/formats.md.
 */
import * as z from 'zod'
import { MAX_BATCH } from '../ledger/batch-path.ts'
import { PART_NAMES } from '../recorder/record-parts.ts'
import { ReceiptError } from './receipt-error.ts'

/** A receipt without bodies is a few KiB; bodies are what a page or a command can still hold at once. */
export const MAX_RECEIPT = 64 << 20

/** Text whose UTF-8 bytes are one thing only: a lone surrogate would become another character's. */
const text = (most: number) =>
  z
    .string()
    .max(most)
    .refine((value) => value.isWellFormed(), 'not Unicode')
const Base64 = z.string().regex(/^[A-Za-z0-9+/]*={0,2}$/)
const Hex32 = z.string().regex(/^[0-9a-f]{64}$/)
const Address = z.string().regex(/^0x[0-9a-fA-F]{40}$/)
const Hash = z.string().regex(/^0x[0-9a-fA-F]{64}$/)
const VerifierKey = z.string().max(1000)
const Proof = text(MAX_RECEIPT)

const place = {
  /** The chain's name in the gateway's configuration. */
  chain: z.string().regex(/^[\w.-]{1,64}$/),
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
}
const ReceiptAnchor = z.strictObject({
  ...place,
  /** How final the block was when the receipt was made, and the host of the RPC endpoint that said so. */
  finality: z.enum(['included', 'safe', 'finalized']).optional(),
  saidBy: z.string().max(300).optional(),
})
export type ReceiptAnchor = z.infer<typeof ReceiptAnchor>

/** Opens a digest in the record: SHA-256(salt ‖ bytes). */
const Body = z.strictObject({ part: z.enum(PART_NAMES), salt: Base64.length(44), bytes: Base64 })
export type Body = z.infer<typeof Body>

const held = {
  /** The leaf, verbatim: never canonicalised again. */
  record: text(65_535),
  bodies: z.array(Body).max(PART_NAMES.length).optional(),
}
const HeldRecord = z.strictObject(held)
export type HeldRecord = z.infer<typeof HeldRecord>

/** A later checkpoint that witnesses cosigned: where nothing is anchored, or another tree than theirs. */
const Witnessed = z.strictObject({
  checkpoint: text(65_535),
  /** That it extends the checkpoint in `proof`: hashes, base64. */
  consistency: z.array(z.string().max(44)).max(63),
})
export type Witnessed = z.infer<typeof Witnessed>

/** How the key that signed the checkpoint is led to from another key of the log (key-line.ts). */
const KeyHistory = z.strictObject({
  /** A later checkpoint, which holds the records of the keys. */
  checkpoint: text(65_535),
  /** That it extends the checkpoint in `proof`: hashes, base64. */
  consistency: z.array(z.string().max(44)).max(63),
  /** A record that names a key, and the tlog-proof lines of its place under `checkpoint`. */
  successions: z
    .array(
      z.strictObject({
        record: text(65_535),
        index: z.string().max(20),
        hashes: z.array(z.string().max(44)).max(63),
      }),
    )
    .min(1)
    .max(1000),
})
export type KeyHistory = z.infer<typeof KeyHistory>

const type = z.literal('agent-anchor-receipt')
const V1 = z.strictObject({
  type,
  schemaVersion: z.literal(1),
  record: held.record,
  proof: Proof,
  verifierKey: VerifierKey,
  anchors: z.array(z.strictObject(place)).max(64),
})
const common = {
  type,
  schemaVersion: z.literal(2),
  proof: Proof,
  /** C2SP verifier key of the log. Who verifies compares it with the key they expect. */
  verifierKey: VerifierKey,
  keyHistory: KeyHistory.optional(),
  witnessed: Witnessed.optional(),
  anchors: z.array(ReceiptAnchor).max(64),
}
const Single = z.strictObject({ ...held, ...common })
const Several = z.strictObject({ records: z.array(HeldRecord).min(1).max(MAX_BATCH), ...common })

/** A receipt as read: of whichever version, of one record or several. */
export interface Receipt {
  readonly records: readonly HeldRecord[]
  readonly proof: string
  readonly verifierKey: string
  readonly keyHistory?: KeyHistory
  readonly witnessed?: Witnessed
  readonly anchors: readonly ReceiptAnchor[]
}

/** @throws ReceiptError RECEIPT_MALFORMED: not JSON, not a receipt; RECEIPT_VERSION: of a later version. */
export function parseReceipt(bytes: Uint8Array): Receipt {
  if (bytes.length > MAX_RECEIPT) throw malformed(`${bytes.length} bytes are too many`)
  let document: unknown
  try {
    document = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw malformed('not JSON in UTF-8', error)
  }
  const { version, several } = formOf(document)
  const parsed = (version === 1 ? V1 : several ? Several : Single).safeParse(document)
  if (!parsed.success) throw malformed(firstOf(parsed.error), parsed.error)
  const { data } = parsed
  const { proof, verifierKey, anchors } = data
  const records = 'records' in data ? data.records : [heldOf(data)]
  const { keyHistory, witnessed } = 'witnessed' in data || 'keyHistory' in data ? data : {}
  const later = { ...(keyHistory && { keyHistory }), ...(witnessed && { witnessed }) }
  return { records, proof, verifierKey, ...later, anchors }
}

const heldOf = ({ record, bodies }: HeldRecord): HeldRecord => (bodies ? { record, bodies } : { record })

/** The first of what is wrong, in few words: keys in it are the receipt's own. */
function firstOf({ issues }: z.ZodError): string {
  const [issue] = issues
  const where = issue?.path.join('.') ?? ''
  return `${where === '' ? '' : `${where}: `}${issue?.message}`.slice(0, 200)
}

/** @throws ReceiptError RECEIPT_MALFORMED, RECEIPT_VERSION */
function formOf(document: unknown): { version: number; several: boolean } {
  const fields: object = typeof document === 'object' && document !== null ? document : {}
  const { type, schemaVersion: version } = fields as Record<string, unknown>
  if (type !== 'agent-anchor-receipt') throw malformed('its type is not "agent-anchor-receipt"')
  if (Number.isSafeInteger(version) && (version as number) > 2) {
    throw new ReceiptError(
      'RECEIPT_VERSION',
      `this receipt is of version ${version}; versions 1 and 2 are known here`,
      'Verify it with a newer agent-anchor, or a newer verification page.',
    )
  }
  return { version: version === 1 ? 1 : 2, several: Object.hasOwn(fields, 'records') }
}

/** The file, of the newest version. */
export function formatReceipt({ records, ...rest }: Receipt): string {
  const [only, ...more] = records
  const what = more.length > 0 || only === undefined ? { records } : only
  return `${JSON.stringify({ type: 'agent-anchor-receipt', schemaVersion: 2, ...what, ...rest }, null, 2)}\n`
}

const malformed = (why: string, cause?: unknown) =>
  new ReceiptError(
    'RECEIPT_MALFORMED',
    `this is not a receipt: ${why}`,
    'Give a file that `agent-anchor export ID -o FILE` wrote, unchanged.',
    cause,
  )
