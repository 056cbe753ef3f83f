import { AnchorError } from '../base/errors.ts'

export type SensorErrorCode =
  /** The npm package `pcap` isn't built or doesn't load. */
  | 'PCAP_MISSING'
  | 'CAPTURE_FAILED'
  /** Something of root's is left after becoming another account. */
  | 'STILL_PRIVILEGED'
  | 'BAD_MESSAGE'

export class SensorError extends AnchorError<SensorErrorCode> {}
