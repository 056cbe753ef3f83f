/** HTTP/2's frames (RFC 9113 section 6): numbers and layout. */
export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  resetStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
  /** RFC 7838 section 4. */
  altSvc: 10,
} as const

export const FLAG = { endStream: 1, acknowledged: 1, endHeaders: 4, padded: 8, priority: 0x20 } as const

export const SETTING = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
  /** RFC 8441 section 3. */
  enableConnectProtocol: 8,
  /** RFC 9218 section 2.1. */
  noPriorities: 9,
} as const

/** Error codes (section 7). */
export const CODE = {
  noError: 0,
  protocolError: 1,
  internalError: 2,
  flowControlError: 3,
  streamClosed: 5,
  frameSizeError: 6,
  refusedStream: 7,
  cancel: 8,
  compressionError: 9,
  enhanceYourCalm: 11,
  http11Required: 13,
} as const

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
export const FRAME_HEADER = 9
/** Longest payload where nothing else was agreed on. */
export const DEFAULT_FRAME_SIZE = 16_384
export const DEFAULT_WINDOW = 65_535
export const MAX_STREAM_ID = 0x7fff_ffff

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  /** Shares memory with `raw`. */
  readonly payload: Buffer
  /** Header and payload; nobody else's, so that it can be sent on with another stream's number. */
  readonly raw: Buffer
}

export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEADER + payload.length)
  bytes.writeUIntBE(payload.length, 0, 3)
  bytes[3] = type
  bytes[4] = flags
  bytes.writeUInt32BE(stream, 5)
  payload.copy(bytes, FRAME_HEADER)
  return bytes
}
