import { AnchorError } from '../base/errors.ts'

/** What the gateway itself can answer an agent with: the HTTP status of each code. */
const STATUS = {
  malformed_request_line: 400,
  malformed_status_line: 502,
  malformed_field: 400,
  malformed_host: 400,
  malformed_chunk: 400,
  malformed_frame: 400,
  excessive_frames: 429,
  malformed_web_socket: 400,
  conflicting_length: 400,
  unsupported_transfer_coding: 400,
  unsupported_target: 400,
  unexpected_upgrade: 502,
  head_too_large: 431,
  request_timeout: 408,
  answer_timeout: 408,
  message_too_big: 413,
  misdirected_request: 421,
  unlisted_call: 403,
  refused_by_policy: 403,
  blocked_by_policy: 403,
  recorder_unavailable: 503,
  anchoring_behind: 503,
  answer_not_anchored: 424,
  upstream_unresolved: 502,
  upstream_unreachable: 502,
  upstream_untrusted: 502,
  upstream_tls_failed: 502,
  upstream_wants_certificate: 502,
  upstream_closed: 502,
  upstream_protocol_error: 502,
  leaf_unavailable: 502,
  bad_start_message: 500,
  internal: 502,
} as const

export type ProxyErrorCode = keyof typeof STATUS

/** Anything that went wrong in a worker. Messages never carry header values, bodies or credentials. */
export class ProxyError extends AnchorError<ProxyErrorCode> {}

/** HTTP status that answers an agent whose exchange ended with `code`. */
export const statusOf = (code: ProxyErrorCode): number => STATUS[code]
