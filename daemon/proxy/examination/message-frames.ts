/**
 * gRPC and Connect streams carry messages that may be compressed each by itself, whatever Content-Encoding says: flags u8
 * | length u32be | message (grpc.io, PROTOCOL-HTTP2.md). Those can't be looked into; others are searched as they are.
 */
const FRAMED = /^application\/(?:grpc|connect\+)/i
const BASE64 = /^application\/grpc-web-text/i
const HEADER = 5
const COMPRESSED = 1

/** Why a body of such messages can't be looked into; undefined where it can, or is none. */
export function unreadMessages(contentType: string, body: Buffer): string | undefined {
  if (!FRAMED.test(contentType)) return undefined
  if (BASE64.test(contentType)) return 'messages in base64'
  for (let at = 0; at + HEADER <= body.length; at += HEADER + body.readUInt32BE(at + 1)) {
    if ((body[at]! & COMPRESSED) !== 0) return 'messages that are compressed each by itself'
  }
  return undefined
}
