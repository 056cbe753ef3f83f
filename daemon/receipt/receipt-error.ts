import { AnchorError } from '../base/errors.ts'

export type ReceiptErrorCode = 'RECEIPT_MALFORMED' | 'NOT_IN_A_CHECKPOINT' | 'NO_SUCH_RECORD'

export class ReceiptError extends AnchorError<ReceiptErrorCode> {}
