/**
 * Opens QUIC Initial packets that clients send, version 1 (RFC 9000, 9001) and 2 (RFC 9369): their keys come from
 * the destination connection id, which stands in the clear, so that anybody on the way can read the ClientHello.
 * Pure.
 *
 * Threat model: the datagram is an agent's who wants to hide a name. What isn't authentic under the keys is no
 * Initial; frames and lengths are believed only as far as bytes are there.
 */
import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto'

export interface InitialKeys {
  readonly key: Buffer
  readonly iv: Buffer
  readonly headerProtection: Buffer
}

/** A protected Initial packet as it stands in a datagram. */
export interface ProtectedInitial {
  readonly version: QuicVersion
  readonly destinationId: Buffer
  /** Header and payload; the packet number begins at `numberAt`. */
  readonly bytes: Buffer
  readonly numberAt: number
}

export interface CryptoFrame {
  readonly offset: number
  readonly data: Buffer
}

export interface OpenedInitial {
  readonly packetNumber: number
  /** In the order in which they stand. */
  readonly frames: readonly CryptoFrame[]
}

export type QuicVersion = 1 | 2

interface VersionParameters {
  readonly salt: Buffer
  readonly labels: readonly [key: string, iv: string, headerProtection: string]
  /** Bits of the first byte that say Initial, and Retry, which has neither length nor protection. */
  readonly initial: number
  readonly retry: number
}

const VERSIONS: Readonly<Record<QuicVersion, VersionParameters>> = {
  1: {
    // RFC 9001 section 5.2; RFC 9000 section 17.2.
    salt: Buffer.from('38762cf7f55934b34d179ae6a4c80cadccbb7f0a', 'hex'),
    labels: ['quic key', 'quic iv', 'quic hp'],
    initial: 0,
    retry: 3,
  },
  2: {
    // RFC 9369 sections 3.2 and 3.3.
    salt: Buffer.from('0dede3def700a6db819381be6e269dcbf9bd2ed9', 'hex'),
    labels: ['quicv2 key', 'quicv2 iv', 'quicv2 hp'],
    initial: 1,
    retry: 0,
  },
}
const VERSION_NUMBERS: ReadonlyMap<number, QuicVersion> = new Map([
  [0x0000_0001, 1],
  [0x6b33_43cf, 2],
])
const VERSION_BYTES = [...VERSION_NUMBERS.keys()].map((number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(number)
  return bytes
})
/** RFC 9000 section 17.2. */
const LONGEST_ID = 20
const TAG = 16
const SAMPLE = 16
/** More than fit into an Ethernet frame, fewer than would be worth an attacker's while. */
const MOST_INITIALS = 8
/** Packets of other types may stand before them, and cost next to nothing. */
const MOST_LOOKS = 256

/**
 * The Initial packets of a UDP payload, coalesced ones (RFC 9000 section 12.2) included; none where it is no QUIC.
 * Several datagrams that were sent in one call lie one after another, and receivers pass over what stands behind the
 * last packet of each: so what isn't one is passed over here too.
 * The fixed bit isn't asked for: a client may clear it (RFC 9287).
 */
export function findInitials(datagram: Buffer): ProtectedInitial[] {
  const found: ProtectedInitial[] = []
  let rest = datagram
  for (let i = 0; i < MOST_LOOKS && found.length < MOST_INITIALS && rest.length > 0; i += 1) {
    const packet = readLongHeader(rest)
    if (packet?.initial) found.push(packet.initial)
    rest = packet ? rest.subarray(packet.length) : fromNextHeader(rest)
  }
  return found
}

/** From the next byte on that may be the first of a long header; empty where there is none. */
function fromNextHeader(bytes: Buffer): Buffer {
  // Its version comes after it; the first byte is what could not be read.
  const versions = VERSION_BYTES.map((each) => bytes.indexOf(each, 2)).filter((at) => at > 0)
  return versions.length === 0 ? bytes.subarray(bytes.length) : bytes.subarray(Math.min(...versions) - 1)
}

function readLongHeader(bytes: Buffer): { length: number; initial?: ProtectedInitial } | undefined {
  const first = bytes.readUInt8(0)
  if ((first & 0x80) === 0 || bytes.length < 7) return undefined
  const version = VERSION_NUMBERS.get(bytes.readUInt32BE(1))
  if (version === undefined) return undefined
  const { initial, retry } = VERSIONS[version]
  const type = (first >> 4) & 0x03
  const destinationId = idAt(bytes, 5)
  const sourceId = destinationId && idAt(bytes, 6 + destinationId.length)
  if (type === retry || !destinationId || !sourceId) return undefined
  let at = 7 + destinationId.length + sourceId.length
  if (type === initial) {
    const token = readVariable(bytes, at)
    if (!token) return undefined
    at = token.end + token.value
  }
  const length = readVariable(bytes, at)
  if (!length || length.value > bytes.length - length.end) return undefined
  const end = length.end + length.value
  if (type !== initial) return { length: end }
  return {
    length: end,
    initial: { version, destinationId, bytes: bytes.subarray(0, end), numberAt: length.end },
  }
}

function idAt(bytes: Buffer, at: number): Buffer | undefined {
  const length = bytes[at]
  if (length === undefined || length > LONGEST_ID || at + 1 + length > bytes.length) return undefined
  return bytes.subarray(at + 1, at + 1 + length)
}

/** A variable-length integer (RFC 9000 section 16). */
function readVariable(bytes: Buffer, at: number): { value: number; end: number } | undefined {
  const first = bytes[at]
  if (first === undefined) return undefined
  const size = 1 << (first >> 6)
  if (at + size > bytes.length) return undefined
  let value = first & 0x3f
  // Up to 2^62; beyond 2^53 it is inexact, and longer than any datagram all the same.
  for (let i = 1; i < size; i += 1) value = value * 256 + bytes.readUInt8(at + i)
  return { value, end: at + size }
}

/** What a client protects its Initial packets with (RFC 9001 section 5.2), from the first destination id it chose. */
export function clientInitialKeys(version: QuicVersion, destinationId: Buffer): InitialKeys {
  const { salt, labels } = VERSIONS[version]
  const initial = createHmac('sha256', salt).update(destinationId).digest()
  const secret = expandLabel(initial, 'client in', 32)
  return {
    key: expandLabel(secret, labels[0], 16),
    iv: expandLabel(secret, labels[1], 12),
    headerProtection: expandLabel(secret, labels[2], 16),
  }
}

/** HKDF-Expand-Label (RFC 8446 section 7.1) for at most 32 bytes, which is one round of HKDF-Expand (RFC 5869). */
function expandLabel(secret: Buffer, label: string, length: number): Buffer {
  const name = Buffer.from(`tls13 ${label}`, 'latin1')
  const info = Buffer.concat([Buffer.from([0, length, name.length]), name, Buffer.from([0, 1])])
  return createHmac('sha256', secret).update(info).digest().subarray(0, length)
}

/**
 * Removes the protection (RFC 9001 sections 5.3 and 5.4).
 * @param largest largest packet number that this sender is known to have used: numbers travel shortened
 * @returns `undefined` where the packet isn't authentic under these keys
 */
export function openInitial(
  { bytes, numberAt }: ProtectedInitial,
  { key, iv, headerProtection }: InitialKeys,
  largest = -1,
): OpenedInitial | undefined {
  const sampleAt = numberAt + 4
  if (bytes.length < sampleAt + SAMPLE || bytes.length < numberAt + 1 + TAG) return undefined
  const ecb = createCipheriv('aes-128-ecb', headerProtection, null)
  const mask = ecb.update(bytes.subarray(sampleAt, sampleAt + SAMPLE))
  const first = bytes.readUInt8(0) ^ (mask.readUInt8(0) & 0x0f)
  const size = (first & 0x03) + 1
  const payloadAt = numberAt + size
  if (bytes.length < payloadAt + TAG) return undefined
  const header = Buffer.from(bytes.subarray(0, payloadAt))
  header[0] = first
  for (let i = 0; i < size; i += 1) {
    header[numberAt + i] = bytes.readUInt8(numberAt + i) ^ mask.readUInt8(1 + i)
  }
  const packetNumber = fullNumber(header.readUIntBE(numberAt, size), size, largest)
  const nonce = Buffer.from(iv)
  nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ (packetNumber >>> 0)) >>> 0, 8)
  nonce.writeUInt32BE((nonce.readUInt32BE(4) ^ Math.floor(packetNumber / 2 ** 32)) >>> 0, 4)
  const gcm = createDecipheriv('aes-128-gcm', key, nonce)
  gcm.setAAD(header)
  gcm.setAuthTag(bytes.subarray(bytes.length - TAG))
  try {
    const plain = Buffer.concat([gcm.update(bytes.subarray(payloadAt, bytes.length - TAG)), gcm.final()])
    return { packetNumber, frames: cryptoFrames(plain) }
  } catch {
    return undefined
  }
}

/** RFC 9000 appendix A.3. */
function fullNumber(truncated: number, size: number, largest: number): number {
  const window = 2 ** (8 * size)
  const expected = largest + 1
  const candidate = Math.floor(expected / window) * window + truncated
  if (candidate <= expected - window / 2 && candidate < 2 ** 53 - window) return candidate + window
  if (candidate > expected + window / 2 && candidate >= window) return candidate - window
  return candidate
}

const PADDING = 0x00
const PING = 0x01
const ACK = 0x02
const ACK_ECN = 0x03
const CRYPTO = 0x06

/** The CRYPTO frames; other frames of an Initial (RFC 9000 table 3) are skipped, an unknown one ends the walk. */
function cryptoFrames(plain: Buffer): CryptoFrame[] {
  const frames: CryptoFrame[] = []
  let at = 0
  const next = (): number | undefined => {
    const number = readVariable(plain, at)
    if (number) at = number.end
    return number?.value
  }
  while (at < plain.length) {
    if (plain[at] === PADDING) {
      at += 1
      continue
    }
    const type = next()
    if (type === PING) continue
    if (type === CRYPTO) {
      const offset = next()
      const length = next()
      if (offset === undefined || length === undefined || length > plain.length - at) break
      frames.push({ offset, data: plain.subarray(at, at + length) })
      at += length
    } else if (type === ACK || type === ACK_ECN) {
      next()
      next()
      const ranges = next() ?? Number.POSITIVE_INFINITY
      // After largest, delay and count: the first range, a gap and a length each further one, three counts for ECN.
      let numbers = 1 + 2 * ranges + (type === ACK_ECN ? 3 : 0)
      if (numbers > plain.length - at) break
      while (numbers > 0 && next() !== undefined) numbers -= 1
      if (numbers > 0) break
    } else break
  }
  return frames
}
