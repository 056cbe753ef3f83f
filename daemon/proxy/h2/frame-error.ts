import { ProxyError, type ProxyErrorCode } from '../proxy-error.ts'

/** An error of the whole connection: what its peer is told with GOAWAY. */
export class FrameError extends ProxyError {
  /** Of RFC 9113 section 7. */
  readonly h2Code: number

  constructor(h2Code: number, what: string, code: ProxyErrorCode = 'malformed_frame') {
    super(code, `malformed HTTP/2: ${what}`, 'Send HTTP/2 as RFC 9113 asks; the connection was closed.')
    this.h2Code = h2Code
  }
}
