/**
 * Reads the names that a client gives in its first request of HTTP/2 without TLS (RFC 9113): `:authority`, and Host,
 * which some servers go by.
 *
 * Threat model: as for a ClientHello. The fields may be cut over frames, and padded; some clients wait for the
 * server's settings before they ask for anything, so the caller bounds how long it waits.
 */
import { readFirstHeaders } from '../../wire/hpack.ts'
import { hostOfAuthority } from './http-start.ts'

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
const FRAME_HEADER = 9
const HEADERS = 1
const CONTINUATION = 9
const FLAG = { endHeaders: 4, padded: 8, priority: 0x20 } as const
const PRIORITY_LENGTH = 5

/** @returns the names without duplicates, none where there are none to be read; or that its end is not there yet */
export function readH2Start(bytes: Buffer): readonly string[] | 'more' {
  const preface = bytes.toString('latin1', 0, PREFACE.length)
  if (!PREFACE.startsWith(preface)) return []
  const block: Buffer[] = []
  let at = PREFACE.length
  for (;;) {
    if (at + FRAME_HEADER > bytes.length) return 'more'
    const end = at + FRAME_HEADER + bytes.readUIntBE(at, 3)
    const [type, flags = 0] = bytes.subarray(at + 3)
    if (type === HEADERS || type === CONTINUATION) {
      if (end > bytes.length) return 'more'
      const payload = bytes.subarray(at + FRAME_HEADER, end)
      block.push(type === HEADERS ? fragment(payload, flags) : payload)
      if (flags & FLAG.endHeaders) return namesOf(Buffer.concat(block))
    }
    at = end
  }
}

function fragment(payload: Buffer, flags: number): Buffer {
  const padding = flags & FLAG.padded ? (payload[0] ?? 0) : 0
  const start = (flags & FLAG.padded ? 1 : 0) + (flags & FLAG.priority ? PRIORITY_LENGTH : 0)
  return payload.subarray(start, Math.max(start, payload.length - padding))
}

function namesOf(block: Buffer): string[] {
  const names = readFirstHeaders(block)
    .filter(({ name }) => name === ':authority' || name.toLowerCase() === 'host')
    .flatMap(({ value }) => hostOfAuthority(value) ?? [])
  return [...new Set(names)]
}
