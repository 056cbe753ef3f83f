/** Receipts for other programs: read, verified, and what was found in words. No I/O but what the caller brings. */
export type { AskChain, HeldAnchor } from '../daemon/receipt/anchor-finding.ts'
export { type Finding, holds, type Verdict, verdictOn } from '../daemon/receipt/findings.ts'
export { findingsText, verdictText } from '../daemon/receipt/findings-text.ts'
export {
  type Body,
  formatReceipt,
  type HeldRecord,
  type KeyHistory,
  MAX_RECEIPT,
  parseReceipt,
  type Receipt,
  type ReceiptAnchor,
} from '../daemon/receipt/receipt.ts'
export { ReceiptError, type ReceiptErrorCode } from '../daemon/receipt/receipt-error.ts'
export { type Verification, type VerifyOptions, verifyReceipt } from '../daemon/receipt/verify.ts'
export type { Witnesses } from '../daemon/receipt/witness-finding.ts'
