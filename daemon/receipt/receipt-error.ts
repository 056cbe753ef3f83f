import { AnchorError } from '../base/errors.ts'

export type ReceiptErrorCode =
  | 'RECEIPT_MALFORMED'
  | 'RECEIPT_VERSION'
  | 'RECEIPT_TOO_LARGE'
  | 'NOT_IN_A_CHECKPOINT'
  | 'NO_SUCH_RECORD'
  | 'TOO_MANY_RECORDS'

export class ReceiptError extends AnchorError<ReceiptErrorCode> {}
